"""From a record batch to committed rows.

A record batch is taken whole or refused whole. Sending one again changes nothing. An upload of blocks becomes one
object for each process in it, and one segment, or several if it has very many events; uploads that arrive together
share a transaction.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import InvalidTelemetry, NotFound, Removed, StoreUnavailable
from udtf.lake.cache import ByteBoundedCache
from udtf.lake.group_commit import GroupCommit
from udtf.lake.history import Histories
from udtf.lake.ingestion.blocks import Blocks, check_streams, check_times, join_blocks, read_blocks
from udtf.lake.ingestion.descriptions import ingest_processes, ingest_streams
from udtf.lake.ingestion.open_history import NewSegment, OpenHistory, begin_time_of, index_of_blocks
from udtf.lake.metadata import HistoryMoved, HistoryRow, MetadataStore, ProcessRow, StreamRow
from udtf.lake.objects import ObjectStore
from udtf.lake.packing import Packing
from udtf.lake.segment_file import content_hash, encode_segment

Int64s = npt.NDArray[np.int64]

MAX_ROWS = 10_000
"""Most rows of a record batch: it is stored in one transaction."""

MAX_SEGMENT_EVENTS = 1 << 18
"""An upload of more events makes several segments, each of blocks that are near in time."""

MAX_ATTEMPTS = 100
"""How often an upload is tried again because other servers stored telemetry of the same process in between."""

_OPEN_HISTORY_BYTES = 64 << 20
_STREAM_BYTES = 16 << 20


@dataclass(frozen=True)
class _Upload:
    """What a record batch brings, each process's new segments; `seen` is how far its history had come when they were
    found to be new."""

    segments: Sequence[NewSegment]
    seen: Mapping[str, HistoryRow]


class Ingestion:
    """Takes record batches of the three telemetry tables into a lake. Safe to use from many threads."""

    def __init__(self, metadata: MetadataStore, objects: ObjectStore, histories: Histories, packing: Packing) -> None:
        self._metadata = metadata
        self._objects = objects
        self._committer = _Committer(metadata, histories, packing)
        self._streams: ByteBoundedCache[str, StreamRow] = ByteBoundedCache(_STREAM_BYTES, _STREAM_BYTES, lambda _: 1000)
        self._processes: ByteBoundedCache[str, ProcessRow] = ByteBoundedCache(
            _STREAM_BYTES, _STREAM_BYTES, lambda _: 2000
        )

    def into(self, metadata: MetadataStore) -> "Ingestion":
        """The same, but that rows go into another view of the tables."""
        ingestion = copy(self)
        ingestion._metadata = metadata
        return ingestion

    def ingest(self, table: str, batch: pa.RecordBatch) -> int:
        """Store the rows of a batch; returns their number, those stored before included.

        Raises:
            InvalidTelemetry: something in the batch is wrong, and nothing of it was stored; the message says what.
            StoreFull, StoreUnavailable: nothing of it was stored.
        """
        tables: dict[str, Callable[[pa.RecordBatch], None]] = {
            "processes": lambda batch: ingest_processes(self._metadata, batch),
            "streams": lambda batch: ingest_streams(self._metadata, batch),
            "blocks": self._ingest_blocks,
        }
        take = tables.get(table)
        if take is None:
            raise InvalidTelemetry(f"table {table!r} takes no telemetry, expected one of {', '.join(tables)}")
        if batch.num_rows > MAX_ROWS:
            raise InvalidTelemetry(f"a record batch has {batch.num_rows} rows, expected at most {MAX_ROWS}")
        take(batch)
        return int(batch.num_rows)

    def _ingest_blocks(self, batch: pa.RecordBatch) -> None:
        by_process: dict[str, list[Blocks]] = {}
        for blocks, rows in read_blocks(batch):
            for process, part, of_part in self._by_process(blocks):
                check_times(batch, rows[of_part], part, process.clock)
                _check_process_ids(batch, rows[of_part], part, process.process_id)
                by_process.setdefault(process.process_id, []).append(part)
        for _ in range(MAX_ATTEMPTS):
            if self._try_ingest(by_process):
                return
        raise StoreUnavailable("other servers kept storing telemetry of the same process; send again")

    def _try_ingest(self, by_process: Mapping[str, list[Blocks]]) -> bool:
        """Store what is new; False if another sender has stored some of it meanwhile, so that one must look again."""
        new: dict[str, list[Blocks]] = {}
        seen: dict[str, HistoryRow] = {}
        for process_id, parts in by_process.items():
            history = self._history(process_id, look_back=any(part.are_appended for part in parts))
            seen[process_id] = history.row
            for blocks in _of_kinds(parts):
                try:
                    chosen = history.new_blocks(blocks)
                except Removed:
                    self._committer.forget(process_id)
                    return False
                if len(chosen):
                    new.setdefault(process_id, []).append(blocks.take(chosen))
        segments = []
        try:
            for process_id, parts in new.items():
                segments += self._store(self._process(process_id), parts)
            stored = not segments or self._committer.commit(_Upload(segments, seen))
        except BaseException:
            self._throw_away(segments)
            raise
        if not stored:
            self._throw_away(segments)
        return stored

    def _history(self, process_id: str, *, look_back: bool) -> OpenHistory:
        try:
            return self._committer.history(process_id, look_back=look_back)
        except NotFound as error:
            # Removed since its streams were looked up.
            self._streams.clear()
            self._processes.clear()
            raise InvalidTelemetry(f"{error}: send it first") from error

    def _store(self, process: ProcessRow, parts: Sequence[Blocks]) -> list[NewSegment]:
        """Store the object of what an upload brings of one process; returns its segments."""
        cuts = [[blocks.in_line() for blocks in cut] for cut in _cut(parts)]
        drafts = [(cut, encode_segment({blocks.kind.name: blocks.events for blocks in cut})) for cut in cuts]
        key = f"segments/{process.process_id}/{uuid.uuid4().hex}"
        self._objects.put(key, b"".join(data for _, data in drafts), durable=True)
        segments = []
        begin = 0
        for cut, data in drafts:
            clock = process.clock
            indexes = {blocks.kind.name: index_of_blocks(blocks) for blocks in cut}
            segments.append(
                NewSegment(
                    process_id=process.process_id,
                    blocks=cut,
                    indexes=indexes,
                    begin_time=begin_time_of(indexes, clock),
                    end_time=max(clock.to_ns(int(blocks.end_ticks.max())) for blocks in cut),
                    end_ticks=max(int(blocks.end_ticks.max()) for blocks in cut),
                    content_hash=content_hash(data),
                    object_key=key,
                    object_begin=begin,
                    object_end=begin + len(data),
                )
            )
            begin += len(data)
        return segments

    def _throw_away(self, segments: Sequence[NewSegment]) -> None:
        for key in {segment.object_key for segment in segments}:
            self._objects.try_delete(key)

    def _by_process(self, blocks: Blocks) -> list[tuple[ProcessRow, Blocks, Int64s]]:
        """Blocks by process, each with which of the blocks they are."""
        streams = check_streams(blocks, self._streams_of(blocks.streams.to_pylist()))
        process_ids = [stream.process_id for stream in streams]
        everything = np.arange(len(blocks))
        if len(set(process_ids)) == 1:
            return [(self._process(process_ids[0]), blocks, everything)]
        of_blocks = np.array(process_ids, object)[blocks.stream_codes]
        parts = []
        for process_id in dict.fromkeys(process_ids):
            chosen = everything[of_blocks == process_id]
            parts.append((self._process(process_id), blocks.take(chosen), chosen))
        return parts

    def _streams_of(self, stream_ids: Sequence[str]) -> dict[str, StreamRow]:
        found = self._streams.get_all(stream_ids, lambda missing: self._metadata.streams_of_ids(missing))
        return {key: row for key, row in found.items() if self._metadata.is_visible(row.process_id)}

    def _process(self, process_id: str) -> ProcessRow:
        return self._processes.get(process_id, lambda: self._metadata.process(process_id))


class _Committer:
    """Adds segments to histories, those of uploads that arrive together in one transaction."""

    def __init__(self, metadata: MetadataStore, histories: Histories, packing: Packing) -> None:
        self._metadata = metadata
        self._histories = histories
        self._packing = packing
        self._open: ByteBoundedCache[str, OpenHistory] = ByteBoundedCache(
            _OPEN_HISTORY_BYTES, _OPEN_HISTORY_BYTES, lambda _: 100_000
        )
        self.commit = GroupCommit[_Upload, bool](self._commit)

    def history(self, process_id: str, *, look_back: bool) -> OpenHistory:
        """The history of a process, as far as this server knows it; to be read only. Where blocks are to be appended,
        with a `look_back`."""
        opened = self._open.get(process_id, lambda: self._load(process_id))
        if look_back:
            opened.look_back()
        return opened.copy()

    def forget(self, process_id: str) -> None:
        """Read the history of a process again before it is used."""
        self._open.drop(process_id)

    def _load(self, process_id: str) -> OpenHistory:
        return OpenHistory(self._metadata.history(process_id), self._histories, self._metadata)

    def _commit(self, uploads: Sequence[_Upload]) -> list[bool | Exception]:
        for _ in range(MAX_ATTEMPTS):
            growing: dict[str, OpenHistory] = {}
            results = [self._add(upload, growing) for upload in uploads]
            growths = [history.growth() for history in growing.values()]
            try:
                self._metadata.grow(growths)
            except HistoryMoved as moved:
                for process_id in moved.process_ids:
                    self._open.drop(process_id)
                continue
            for growth in growths:
                self._packing.note_complete(growth.stretches)
            for process_id, history in growing.items():
                history.stored()
                self._open.put(process_id, history)
            return results
        raise StoreUnavailable("other servers kept storing telemetry of the same processes; send again")

    def _add(self, upload: _Upload, growing: dict[str, OpenHistory]) -> bool | Exception:
        """Add an upload to the histories that are about to grow; False if some of its blocks are stored meanwhile."""
        touched: dict[str, OpenHistory] = {}
        now = time.time_ns()
        try:
            for segment in upload.segments:
                process_id = segment.process_id
                if process_id not in touched:
                    look_back = any(other.has_appended for other in upload.segments)
                    known = growing.get(process_id)
                    history = self.history(process_id, look_back=look_back) if known is None else known.copy()
                    if look_back:
                        history.look_back()
                    if history.row != upload.seen[process_id] and not all(
                        len(history.new_blocks(blocks)) == len(blocks)
                        for other in upload.segments
                        for blocks in other.blocks
                        if other.process_id == process_id
                    ):
                        return False
                    touched[process_id] = history
                touched[process_id].append(segment, now)
        except NotFound as error:
            return InvalidTelemetry(f"{error}: send it first")
        except Exception as error:
            return error
        growing.update(touched)
        return True


def _of_kinds(parts: Sequence[Blocks]) -> list[Blocks]:
    """Blocks with those of one kind in one place."""
    by_kind: dict[str, list[Blocks]] = {}
    for part in parts:
        by_kind.setdefault(part.kind.name, []).append(part)
    return [join_blocks(of_kind) for of_kind in by_kind.values()]


def _cut(parts: Sequence[Blocks]) -> list[list[Blocks]]:
    """The blocks of one process, at most one entry a kind, as they make segments."""
    if sum(len(blocks.events) for blocks in parts) <= MAX_SEGMENT_EVENTS:
        return [list(parts)]
    kinds = np.concatenate([np.full(len(blocks), number) for number, blocks in enumerate(parts)])
    rows = np.concatenate([np.arange(len(blocks)) for blocks in parts])
    order = np.argsort(np.concatenate([blocks.begin_ticks for blocks in parts]), kind="stable")
    ends = np.cumsum(np.concatenate([blocks.nb_events for blocks in parts])[order])
    numbers = (ends - 1) // MAX_SEGMENT_EVENTS
    cuts = []
    for number in np.unique(numbers):
        chosen = order[numbers == number]
        of_kinds = [np.sort(rows[chosen[kinds[chosen] == kind]]) for kind in range(len(parts))]
        cuts.append([parts[kind].take(of_kind) for kind, of_kind in enumerate(of_kinds) if len(of_kind)])
    return cuts


def _check_process_ids(batch: pa.RecordBatch, rows: Int64s, blocks: Blocks, process_id: str) -> None:
    if "process_id" not in batch.schema.names:
        return
    given = batch.column("process_id").take(pa.array(rows)).to_pylist()
    for block, value in enumerate(given):
        if value not in (None, process_id):
            raise InvalidTelemetry(
                f"{blocks.name(block)} has process_id {value!r}, but its stream is of process {process_id!r}"
            )
