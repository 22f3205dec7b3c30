"""A trace without any of the optimizations: `naive_trace` on a lake that `naive_lake` opened.

Threads come one after the other, each by an SQL text of its own that also brings its partitions up to date; async spans
are begin events joined with end events by SQL. Every event is a message of its own, and chunks are small. Span ids
of an async stream have to be unique, and telemetry that is lost is not marked.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.baseline.packets import PacketWriter
from udtf.lake.lake import ASYNC_EVENTS, THREAD_SPANS, Lake
from udtf.lake.settings import CacheSettings, LakeSettings
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack, child_descriptor, track_uuid
from udtf.perfetto.writer import TraceWriter
from udtf.sql.engine import QueryEngine

CHUNK_BYTES = 8 << 10
NO_CACHES = CacheSettings(file_bytes=0, row_bytes=0, summary_bytes=0, footer_bytes=0)
NAIVE = LakeSettings(max_builds=1, caches=NO_CACHES)

_THREAD_SPANS = """
SELECT depth, arrow_cast(begin, 'Int64') AS begin, arrow_cast("end", 'Int64') AS "end",
    arrow_cast(name, 'Utf8') AS name, arrow_cast(filename, 'Utf8') AS filename, line
FROM view_instance('thread_spans', '{stream_id}')
ORDER BY begin, id
"""
_ASYNC_SPANS = """
SELECT arrow_cast(b.time, 'Int64') AS begin, arrow_cast(e.time, 'Int64') AS "end",
    arrow_cast(b.name, 'Utf8') AS name, arrow_cast(b.filename, 'Utf8') AS filename, b.line
FROM view_instance('async_events', '{process_id}') b
LEFT JOIN view_instance('async_events', '{process_id}') e
    ON b.stream_id = e.stream_id AND b.span_id = e.span_id AND e.event_type = 'end'
WHERE b.event_type = 'begin'
ORDER BY b.time
"""

Row = dict[str, Any]


def naive_lake(uri: str) -> Lake:
    """The lake in a folder, which builds one partition at a time and keeps nothing in memory."""
    return Lake.open(uri, settings=NAIVE)


def naive_trace(lake: Lake, process_id: str) -> Iterator[bytes]:
    """The whole trace of a process, in chunks of about `CHUNK_BYTES`.

    Raises:
        NotFound: there is no such process.
    """
    engine = QueryEngine(lake)
    try:
        yield from _chunks(_packets(lake, engine, process_id))
    finally:
        engine.close()


def _packets(lake: Lake, engine: QueryEngine, process_id: str) -> Iterator[bytes]:
    telemetry = lake.telemetry_of(process_id)
    row = telemetry.process
    process = ProcessTrack(process_id, row.exe or process_id, row.properties.get("pid"), row.start_time)
    threads = [
        ThreadTrack(stream.stream_id, stream.properties.get("thread-name", ""), stream.properties.get("thread-id"))
        for stream in telemetry.streams_tagged(THREAD_SPANS.stream_tag)
    ]
    packets = PacketWriter()
    yield TraceWriter(process).descriptors(threads)
    for thread in threads:
        spans = _rows(engine, _THREAD_SPANS.format(stream_id=thread.stream_id))
        yield from _thread_events(packets, thread.uuid, spans)
    if telemetry.streams_tagged(ASYNC_EVENTS.stream_tag):
        spans = _rows(engine, _ASYNC_SPANS.format(process_id=process_id))
        yield from _async_events(packets, process, spans)


def _rows(engine: QueryEngine, sql: str) -> Iterator[Row]:
    for batch in engine.plan(sql).batches():
        yield from batch.to_pylist()


def _thread_events(packets: PacketWriter, uuid: int, spans: Iterable[Row]) -> Iterator[bytes]:
    """Spans as a stack: what is not above a span that begins has ended before."""
    stack: list[Row] = []
    for span in spans:
        while stack and stack[-1]["depth"] >= span["depth"]:
            yield from _end(packets, uuid, stack.pop())
        yield _begin(packets, uuid, span)
        stack.append(span)
    while stack:
        yield from _end(packets, uuid, stack.pop())


def _async_events(packets: PacketWriter, process: ProcessTrack, spans: Iterable[Row]) -> Iterator[bytes]:
    """Spans on lanes: each on one that is free when it begins, and a lane more where none is."""
    free_from: list[tuple[int, int]] = []
    lanes = 0
    for span in spans:
        if free_from and free_from[0][0] <= span["begin"]:
            _, uuid = heapq.heappop(free_from)
        else:
            lanes += 1
            uuid = track_uuid("naive lane", process.process_id, str(lanes))
            yield child_descriptor(process.uuid, uuid, f"async {lanes}")
        yield _begin(packets, uuid, span)
        yield from _end(packets, uuid, span)
        if span["end"] is not None:
            heapq.heappush(free_from, (span["end"], uuid))


def _begin(packets: PacketWriter, uuid: int, span: Row) -> bytes:
    return packets.begin(uuid, span["begin"], span["name"], (span["filename"], span["line"]))


def _end(packets: PacketWriter, uuid: int, span: Row) -> Iterator[bytes]:
    if span["end"] is not None:
        yield packets.end(uuid, span["end"])


def _chunks(packets: Iterable[bytes]) -> Iterator[bytes]:
    waiting, size_bytes = [], 0
    for packet in packets:
        if waiting and size_bytes + len(packet) > CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
        waiting.append(packet)
        size_bytes += len(packet)
    yield b"".join(waiting)
