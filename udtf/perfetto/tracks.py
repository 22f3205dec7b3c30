"""Processes, threads and tracks below them: their uuids, their ids, and the packets that describe them.

Everything is derived from ids of the telemetry, never counted, so the same lake state gives the same bytes and traces
of several processes can be concatenated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from udtf.perfetto.packets import SEQUENCE_ID
from udtf.perfetto.perfetto_trace_pb2 import (
    CounterDescriptor,
    ProcessDescriptor,
    ThreadDescriptor,
    Trace,
    TracePacket,
    TrackDescriptor,
)
from udtf.perfetto.program_name import program_name

_GREATEST_ID = (1 << 31) - 1
_FIRST_SYNTHETIC_ID = 1 << 30
"""Above what operating systems give out."""


@dataclass(frozen=True)
class ProcessTrack:
    """A process as the trace shows it.

    `name` is that of the program or its path, which is shown as `program_name` has it. `pid` is what telemetry says, a
    decimal number of 31 bits if it is of use; `labels` are shown beside the name. Processes are shown in the order of
    their `rank`, 32 bits with a sign; without one it is 0.
    """

    process_id: str
    name: str
    pid: str | None = None
    start_ns: int | None = None
    command_line: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    rank: int | None = None

    @property
    def uuid(self) -> int:
        return track_uuid("process", self.process_id)

    @property
    def shown_pid(self) -> int:
        """The pid, or one made from `process_id` where that is of no use."""
        pid = _usable_id(self.pid)
        return _synthetic_id(self.uuid, frozenset()) if pid is None else pid


@dataclass(frozen=True)
class ThreadTrack:
    """A thread as the trace shows it; `tid` is what telemetry says, `rank` as that of a process, among its threads."""

    stream_id: str
    name: str
    tid: str | None = None
    rank: int | None = None

    @property
    def uuid(self) -> int:
        return track_uuid("thread", self.stream_id)


def track_uuid(kind: str, *ids: str) -> int:
    """The uuid of a track: 56 to 62 bits of BLAKE2b, a positive int64 that always takes nine bytes of varint."""
    digest = blake2b("\0".join((kind, *ids)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2 | 1 << 56


def process_descriptor(process: ProcessTrack) -> bytes:
    """The packet of a process."""
    return _descriptor_packet(
        TrackDescriptor(
            uuid=process.uuid,
            process=ProcessDescriptor(
                pid=process.shown_pid,
                process_name=program_name(process.name, " ".join(process.command_line)),
                start_timestamp_ns=process.start_ns,
                cmdline=process.command_line,
                process_labels=process.labels,
            ),
            sibling_order_rank=process.rank,
        )
    )


def root_descriptor(process: ProcessTrack, threads: Sequence[ThreadTrack]) -> bytes:
    """The packet that has processes and threads shown by their ranks; nothing where none of these has one."""
    if process.rank is None and all(thread.rank is None for thread in threads):
        return b""
    return _descriptor_packet(
        TrackDescriptor(
            uuid=0,
            process_ordering=TrackDescriptor.PROCESS_ORDERING_EXPLICIT,
            thread_ordering=TrackDescriptor.THREAD_ORDERING_EXPLICIT,
        )
    )


def thread_descriptors(process: ProcessTrack, threads: Sequence[ThreadTrack]) -> bytes:
    """The packets of the threads of a process."""
    tids = shown_tids(process, threads)
    return b"".join(
        _descriptor_packet(
            TrackDescriptor(
                uuid=thread.uuid,
                parent_uuid=process.uuid,
                thread=ThreadDescriptor(
                    pid=process.shown_pid, tid=tids[thread.stream_id], thread_name=thread.name or None
                ),
                sibling_order_rank=thread.rank,
            )
        )
        for thread in threads
    )


def child_descriptor(parent_uuid: int, uuid: int, name: str) -> bytes:
    """The packet of a track below that of a process or a thread; tracks of equal name stay apart."""
    return _descriptor_packet(
        TrackDescriptor(
            uuid=uuid,
            parent_uuid=parent_uuid,
            name=name,
            sibling_merge_behavior=TrackDescriptor.SIBLING_MERGE_BEHAVIOR_NONE,
        )
    )


def counter_descriptor(parent_uuid: int, uuid: int, name: str, unit: str) -> bytes:
    """The packet of the track of a counter, below that of a process or a thread."""
    return _descriptor_packet(
        TrackDescriptor(
            uuid=uuid, parent_uuid=parent_uuid, name=name, counter=CounterDescriptor(unit_name=unit or None)
        )
    )


def shown_tids(process: ProcessTrack, threads: Sequence[ThreadTrack]) -> Mapping[str, int]:
    """A tid for each stream, all different: two tracks of one (pid, tid) would be shown as one thread.

    A stream keeps the tid of its telemetry if that is a number of 31 bits and no stream before has it. Operating
    systems use ids again, so that happens; such a stream gets a tid made from its own id.
    """
    tids: dict[str, int] = {}
    # Thread 0 of process 0 is the idle task, which has its name already.
    used = {0} if process.shown_pid == 0 else set()
    for thread in threads:
        tid = _usable_id(thread.tid)
        if tid is not None and tid not in used:
            tids[thread.stream_id] = tid
            used.add(tid)
    used.add(process.shown_pid)  # a thread of that id would be shown as the main thread
    for thread in threads:
        if thread.stream_id not in tids:
            tids[thread.stream_id] = _synthetic_id(thread.uuid, used)
            used.add(tids[thread.stream_id])
    return tids


def _usable_id(text: str | None) -> int | None:
    """A pid or tid from text. Some senders number from zero: to profilers, a GPU is a process."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    number = int(text)
    return number if number <= _GREATEST_ID else None


def _synthetic_id(uuid: int, used: set[int] | frozenset[int]) -> int:
    """The first unused id from a place that the uuid decides."""
    span = _GREATEST_ID - _FIRST_SYNTHETIC_ID
    offset = uuid % span
    while _FIRST_SYNTHETIC_ID + offset in used:
        offset = (offset + 1) % span
    return _FIRST_SYNTHETIC_ID + offset


def _descriptor_packet(descriptor: TrackDescriptor) -> bytes:
    packet = TracePacket(trusted_packet_sequence_id=SEQUENCE_ID, track_descriptor=descriptor)
    return Trace(packet=[packet]).SerializeToString()
