"""Rows of the metadata database as values, with nothing of the database in them."""

from dataclasses import dataclass

from udtf.lake.clock import Clock


@dataclass(frozen=True)
class ProcessRow:
    """A process as stored."""

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
    last_update_time: int

    @property
    def clock(self) -> Clock:
        return Clock(self.start_time, self.start_ticks, self.tsc_frequency)


@dataclass(frozen=True)
class StreamRow:
    """A stream as stored."""

    stream_id: str
    process_id: str
    tags: list[str]
    properties: dict[str, str]
    format: str
    insert_time: int
    last_update_time: int

    @property
    def dropped_spans(self) -> int:
        """Spans that whoever recorded them had no room for, as far as it says so: property `dropped-spans`."""
        text = self.properties.get("dropped-spans", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


@dataclass(frozen=True)
class BlockRow:
    """A block as stored; its payload is the object `payload_key`."""

    block_id: str
    stream_id: str
    process_id: str
    begin_time: int
    begin_ticks: int
    end_time: int
    end_ticks: int
    nb_objects: int
    object_offset: int
    payload_size: int
    insert_time: int
    payload_hash: str
    unmatched_ends: int
    unmatched_begins: int

    @property
    def payload_key(self) -> str:
        """Named after its content as well: of two senders that give one id to different blocks one is refused, and has
        taken nothing from the other by then."""
        return f"blobs/{self.process_id}/{self.stream_id}/{self.block_id}-{self.payload_hash}"

    @property
    def content(self) -> tuple[str, int, str]:
        """What a block that is sent again has in common with the one that is stored."""
        return self.stream_id, self.object_offset, self.payload_hash

    @property
    def end_offset(self) -> int:
        """Ordinal of the event after the last one."""
        return self.object_offset + self.nb_objects


@dataclass(frozen=True)
class PartitionRow:
    """A materialized Parquet partition: one file, made from known blocks of one stream; all but its summary."""

    partition_id: str
    view_set: str
    instance_id: str
    process_id: str
    stream_id: str
    begin_offset: int
    end_offset: int
    begin_time: int
    end_time: int
    unmatched_ends: int
    unmatched_begins: int
    nb_rows: int
    size_bytes: int
    path: str
    source_hash: str
    insert_time: int
