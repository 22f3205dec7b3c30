"""Rows of the metadata database as values, with nothing of the database in them.

A database file can be damaged without the database noticing. Each row carries a hash of its other columns, and one that
does not have it is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from udtf.errors import CorruptData
from udtf.lake.clock import Clock
from udtf.lake.schemas import THREAD_TAG

_JSON_FIELDS = ("properties", "tags")


@dataclass(frozen=True)
class Row:
    """A row: one field for each column but `row_hash`, in the order of the table."""

    def to_database(self) -> dict[str, Any]:
        """Values of all columns."""
        values = {name: _encoded(name, value) for name, value in vars(self).items()}
        return {**values, "row_hash": _hash_of(values.values())}

    @classmethod
    def from_database(cls, values: Sequence[Any]) -> Self:
        """The row that has these values, `row_hash` last.

        Raises:
            CorruptData: they are not what was stored.
        """
        names = [field.name for field in fields(cls)]
        stored = values[: len(names)]
        if _hash_of(stored) != values[-1]:
            raise CorruptData(f"a row of table {cls.__name__.removesuffix('Row').lower()} of the metadata is damaged")
        return cls(*(json.loads(value) if name in _JSON_FIELDS else value for name, value in zip(names, stored)))  # noqa: B905


def _encoded(name: str, value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if name in _JSON_FIELDS else value


def _hash_of(values: Iterable[Any]) -> int:
    """63 bits, so that every database has a type for it."""
    state = hashlib.blake2b(digest_size=8)
    for value in values:
        data = bytes(value) if isinstance(value, (bytes, memoryview)) else repr(value).encode(errors="surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return int.from_bytes(state.digest(), "little") >> 1


@dataclass(frozen=True)
class ProcessRow(Row):
    """A process as it was described."""

    process_id: str
    exe: str | None
    username: str | None
    realname: str | None
    computer: str | None
    distro: str | None
    cpu_brand: str | None
    tsc_frequency: int
    start_time: int
    start_ticks: int
    insert_time: int
    parent_process_id: str | None
    properties: dict[str, str]
    update_time: int

    @property
    def clock(self) -> Clock:
        return Clock(self.start_time, self.start_ticks, self.tsc_frequency)


@dataclass(frozen=True)
class StreamRow(Row):
    """A stream as it was described."""

    stream_id: str
    process_id: str
    tags: list[str]
    properties: dict[str, str]
    format: str
    insert_time: int
    last_update_time: int

    @property
    def thread_name(self) -> str:
        return self.properties.get("thread-name", "")

    @property
    def thread_stream_id(self) -> str | None:
        """The stream of the thread that its events are of: itself if it holds the spans of one, or else what its
        property `thread-stream-id` says."""
        return self.stream_id if THREAD_TAG in self.tags else self.properties.get("thread-stream-id")

    @property
    def is_thread(self) -> bool:
        """Whether it has the spans of a thread, which is shown by its name."""
        return self.thread_stream_id == self.stream_id

    @property
    def dropped_spans(self) -> int:
        """Spans that the sender could not record, as far as it says so: property `dropped-spans`."""
        text = self.properties.get("dropped-spans", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


@dataclass(frozen=True)
class HistoryRow(Row):
    """How far the telemetry of a process has come.

    Its segments have the numbers from `first_segment` to before `nb_segments`; the ones before have been removed.
    `size_bytes` is what they take in the object store.
    """

    process_id: str
    insert_time: int
    first_segment: int
    nb_segments: int
    size_bytes: int
    last_end_ticks: int | None
    last_end_time: int | None
    update_time: int


@dataclass(frozen=True)
class StretchRow(Row):
    """Some consecutive segments of a process, as much as its index says of them; see `history.py`."""

    process_id: str
    nb_segments: int
    first_segment: int
    begin_time: int
    end_time: int
    nb_events: int
    content_hash: str
    index: bytes


@dataclass(frozen=True)
class SegmentRow(Row):
    """What one upload brought of a process: bytes of an object. `blocks` and `index` are sealed parts, one a kind."""

    process_id: str
    first_segment: int
    begin_time: int
    end_time: int
    nb_events: int
    content_hash: str
    object_key: str
    object_begin: int
    object_end: int
    insert_time: int
    blocks: bytes
    index: bytes

    @property
    def nb_segments(self) -> int:
        return 1


@dataclass(frozen=True)
class PartitionRow(Row):
    """A partition: one Parquet file, made from the segments of a stretch."""

    partition_id: str
    view_set: str
    process_id: str
    first_segment: int
    nb_segments: int
    begin_time: int
    end_time: int
    nb_rows: int
    size_bytes: int
    path: str
    footer_hash: str
    source_hash: str
    insert_time: int

    @property
    def end_segment(self) -> int:
        """Number of the segment after the last one."""
        return self.first_segment + self.nb_segments


def values_of(rows: Iterable[Row]) -> list[Mapping[str, Any]]:
    """Values of all columns, for a statement that stores several rows."""
    return [row.to_database() for row in rows]
