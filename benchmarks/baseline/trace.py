"""A trace without any of the optimizations: `naive_trace` on a lake that `naive_lake` opened.

Threads come one after the other, each by an SQL text of its own that also brings its partitions up to date; async spans
are begin events joined with end events by SQL. Every event is a message of its own, and chunks are small. Span ids
of an async stream have to be unique, and telemetry that is lost is not marked.

Its parts are there for `benchmarks.phases`, too, which puts an optimization in the place of one or the other.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from benchmarks.baseline.packets import PacketWriter
from benchmarks.baseline.sql import rows_of
from udtf.lake.lake import ASYNC_EVENTS, THREAD_SPANS, Lake, ProcessTelemetry
from udtf.lake.settings import CacheSettings, LakeSettings
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack, child_descriptor, track_uuid
from udtf.perfetto.writer import TraceWriter

CHUNK_BYTES = 8 << 10
NO_CACHES = CacheSettings(file_bytes=0, row_bytes=0, summary_bytes=0, footer_bytes=0)
NAIVE = LakeSettings(max_builds=1, caches=NO_CACHES)

THREAD_SPANS_SQL = """
SELECT depth, arrow_cast(begin, 'Int64') AS begin, arrow_cast("end", 'Int64') AS "end",
    arrow_cast(name, 'Utf8') AS name, arrow_cast(filename, 'Utf8') AS filename, line
FROM view_instance('thread_spans', '{stream_id}')
ORDER BY begin, id
"""
ASYNC_SPANS_SQL = """
SELECT arrow_cast(b.time, 'Int64') AS begin, arrow_cast(e.time, 'Int64') AS "end",
    arrow_cast(b.name, 'Utf8') AS name, arrow_cast(b.filename, 'Utf8') AS filename, b.line
FROM view_instance('async_events', '{process_id}') b
LEFT JOIN view_instance('async_events', '{process_id}') e
    ON b.stream_id = e.stream_id AND b.span_id = e.span_id AND e.event_type = 'end'
WHERE b.event_type = 'begin' AND b.stream_id = '{stream_id}'
ORDER BY b.time
"""

Row = dict[str, Any]


def naive_lake(uri: str) -> Lake:
    """The lake in a folder, which builds one partition at a time and keeps nothing in memory."""
    return Lake.open(uri, settings=NAIVE)


def naive_trace(lake: Lake, process_id: str) -> Iterator[bytes]:
    """The whole trace of a process: a chunk that describes its tracks, then chunks of at most `CHUNK_BYTES`.

    Raises:
        NotFound: there is no such process.
    """
    telemetry = lake.telemetry_of(process_id)
    process, threads = process_track(telemetry), thread_tracks(telemetry)
    yield TraceWriter(process).descriptors(threads)
    yield from chunks(_packets(lake, telemetry, process, threads), CHUNK_BYTES)


def process_track(telemetry: ProcessTelemetry) -> ProcessTrack:
    row = telemetry.process
    return ProcessTrack(row.process_id, row.exe or row.process_id, row.properties.get("pid"), row.start_time)


def thread_tracks(telemetry: ProcessTelemetry) -> list[ThreadTrack]:
    return [
        ThreadTrack(stream.stream_id, stream.properties.get("thread-name", ""), stream.properties.get("thread-id"))
        for stream in telemetry.streams_tagged(THREAD_SPANS.stream_tag)
    ]


def _packets(
    lake: Lake, telemetry: ProcessTelemetry, process: ProcessTrack, threads: Iterable[ThreadTrack]
) -> Iterator[bytes]:
    packets = PacketWriter()
    for thread in threads:
        sql = THREAD_SPANS_SQL.format(stream_id=thread.stream_id)
        yield from thread_packets(packets, thread, rows_of(lake, sql))
    for stream in telemetry.streams_tagged(ASYNC_EVENTS.stream_tag):
        sql = ASYNC_SPANS_SQL.format(process_id=process.process_id, stream_id=stream.stream_id)
        yield from async_packets(packets, process, stream.stream_id, rows_of(lake, sql))


def thread_packets(packets: PacketWriter, thread: ThreadTrack, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The spans of a thread, with the columns of `THREAD_SPANS_SQL`, as a stack: what is not above a span that begins
    has ended before."""
    stack: list[Row] = []
    for span in _rows(batches):
        while stack and stack[-1]["depth"] >= span["depth"]:
            yield from _end(packets, thread.uuid, stack.pop())
        yield _begin(packets, thread.uuid, span)
        stack.append(span)
    while stack:
        yield from _end(packets, thread.uuid, stack.pop())


def async_packets(
    packets: PacketWriter, process: ProcessTrack, stream_id: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[bytes]:
    """The spans of an async stream, with the columns of `ASYNC_SPANS_SQL`, on lanes: each on one that is free when it
    begins, and a lane more where none is."""
    free_from: list[tuple[int, int]] = []
    lanes = 0
    for span in _rows(batches):
        if free_from and free_from[0][0] <= span["begin"]:
            _, uuid = heapq.heappop(free_from)
        else:
            lanes += 1
            uuid = track_uuid("naive lane", stream_id, str(lanes))
            yield child_descriptor(process.uuid, uuid, f"async {lanes}")
        yield _begin(packets, uuid, span)
        yield from _end(packets, uuid, span)
        if span["end"] is not None:
            heapq.heappush(free_from, (span["end"], uuid))


def chunks(packets: Iterable[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Packets put together into chunks of at most `chunk_bytes`, but for a packet that is larger."""
    waiting, size_bytes = [], 0
    for packet in packets:
        if waiting and size_bytes + len(packet) > chunk_bytes:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
        waiting.append(packet)
        size_bytes += len(packet)
    if waiting:
        yield b"".join(waiting)


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        yield from batch.to_pylist()


def _begin(packets: PacketWriter, uuid: int, span: Row) -> bytes:
    return packets.begin(uuid, span["begin"], span["name"], (span["filename"], span["line"]))


def _end(packets: PacketWriter, uuid: int, span: Row) -> Iterator[bytes]:
    if span["end"] is not None:
        yield packets.end(uuid, span["end"])
