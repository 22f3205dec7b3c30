"""A trace put together from techniques: for each phase the product's own or the baseline's.

With all phases on it does what `udtf.functions.perfetto_trace_chunks` does, with the same parts and the same bytes, for
lakes in which nothing is lost or damaged; with none, what `benchmarks.baseline` does.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import pyarrow as pa

from benchmarks.baseline.packets import PacketWriter
from benchmarks.baseline.trace import (
    CHUNK_BYTES,
    async_packets,
    chunks,
    process_track,
    thread_packets,
    thread_tracks,
)
from benchmarks.phases.reading import (
    Stream,
    queried_async,
    queried_thread,
    scanned_async,
    scanned_thread,
)
from benchmarks.phases.switches import Switches
from udtf.execution.cancellation import Cancellation
from udtf.execution.ordered import run_ordered
from udtf.execution.turns import Turns
from udtf.functions.progress import TraceProgress
from udtf.functions.table_function import Query
from udtf.lake.async_events import AsyncBatch
from udtf.lake.lake import ASYNC_EVENTS, THREAD_SPANS, Lake, ProcessTelemetry
from udtf.lake.process_view import ProcessView
from udtf.lake.thread_spans import SpanBatch
from udtf.lake.view_set import ViewSet
from udtf.perfetto.async_spans import AsyncEncoder
from udtf.perfetto.interning import InternedScopes
from udtf.perfetto.threads import ThreadEncoder
from udtf.perfetto.tracks import ThreadTrack
from udtf.perfetto.writer import TraceWriter
from udtf.query_context import QueryContext
from udtf.settings import QuerySettings
from udtf.time_range import WHOLE_LIFE

T = TypeVar("T")
Piece = bytes | memoryview
Views = dict[ViewSet[Any], ProcessView[Any]]
Rows = tuple[int, pa.RecordBatch]
"""Some rows, and the number of their job."""


def composed_trace(lake: Lake, process_id: str, span_types: str, switches: Switches) -> Iterator[bytes]:
    """The chunks of the whole trace of a process.

    Args:
        lake: opened with the settings of the switches.
        span_types: as SQL has it.
    """
    telemetry = lake.telemetry_of(process_id)
    progress = TraceProgress(json.dumps, time.perf_counter) if switches.progress else _Untold()
    yield from _Trace(lake, span_types, switches, telemetry, progress).chunks()


class _Untold:
    """In place of a `TraceProgress`."""

    def begin(self, threads_total: int, size_bytes: int) -> None: ...
    def begin_thread(self, number: int, name: str) -> None: ...
    def begin_async(self) -> None: ...
    def made(self, *, nb_spans: int = 0, size_bytes: int = 0, threads: int = 0) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class _Job:
    """A thread, or an async stream where that is None; they are numbered in the order of the trace."""

    number: int
    thread: ThreadTrack | None
    stream: Stream


@dataclass(frozen=True)
class _Trace:
    lake: Lake
    span_types: str
    switches: Switches
    telemetry: ProcessTelemetry
    progress: TraceProgress | _Untold

    def chunks(self) -> Iterator[bytes]:
        process = process_track(self.telemetry)
        threads = [] if self.span_types == "async" else thread_tracks(self.telemetry)
        writer = TraceWriter(process)
        descriptors = writer.descriptors(threads)
        self.progress.begin(len(threads), len(descriptors))
        yield descriptors
        views = self._views()
        jobs = self._jobs(threads, views)
        max_scans = self._scans_at_once(views)
        if self.switches.columns:
            turns = Turns()
            pieces = _run([partial(self._encoded, job, writer, turns) for job in jobs], max_scans)
            yield from chunks(pieces, QuerySettings().chunk_bytes)
        else:
            rows = _run([partial(self._rows, job) for job in jobs], max_scans)
            for chunk in chunks(self._messages(jobs, rows), CHUNK_BYTES):
                self.progress.made(size_bytes=len(chunk))
                yield chunk
        self.progress.finish()

    def _jobs(self, threads: Sequence[ThreadTrack], views: Views) -> list[_Job]:
        if self.switches.planning:
            streams = [scanned_thread(view) for view in views[THREAD_SPANS].streams] if threads else []
        else:
            streams = [queried_thread(self.lake, thread.stream_id) for thread in threads]
        if self.span_types != "thread":
            streams += self._async_streams(views)
        tracks = [*threads, *[None] * (len(streams) - len(threads))]
        return [_Job(number, *job) for number, job in enumerate(zip(tracks, streams, strict=True))]

    def _async_streams(self, views: Views) -> list[Stream]:
        if self.switches.async_scan:
            return [scanned_async(view) for view in views[ASYNC_EVENTS].streams]
        process_id = self.telemetry.process.process_id
        streams = self.telemetry.streams_tagged(ASYNC_EVENTS.stream_tag)
        return [queried_async(self.lake, process_id, stream.stream_id) for stream in streams]

    def _views(self) -> Views:
        """Views of the process for whoever wants them: scans of them, and updates that do not wait for scans. Those
        are under way, or over, when this returns."""
        early = self.switches.updates != "in each scan"
        wanted: list[ViewSet[Any]] = []
        if self.span_types != "async" and (self.switches.planning or early):
            wanted.append(THREAD_SPANS)
        if self.span_types != "thread" and (self.switches.async_scan or early):
            wanted.append(ASYNC_EVENTS)
        views: Views = {}
        for view_set in wanted:
            views[view_set] = self.lake.view(view_set, self.telemetry, WHOLE_LIFE)
            if early:
                views[view_set].start_update()
        if self.switches.updates == "before all scans":
            for view in views.values():
                for stream in view.streams:
                    stream.finish_update()
        return views

    def _scans_at_once(self, views: Views) -> int:
        """0 is one after the other, on the thread of the reader."""
        if not self.switches.scans:
            return 0
        if not self.switches.planning:
            return self.lake.concurrency
        query = Query(self.lake, QueryContext(), QuerySettings(), self.lake.metrics.tally())
        return query.scans_at_once(*views.values())

    def _begin(self, job: _Job) -> None:
        if job.thread is None:
            self.progress.begin_async()
        else:
            self.progress.begin_thread(job.number + 1, job.thread.name)

    def _rows(self, job: _Job) -> Iterator[Rows]:
        self._begin(job)
        for batch in job.stream.rows():
            self.progress.made(nb_spans=len(batch))
            yield job.number, batch
        self.progress.made(threads=job.thread is not None)

    def _messages(self, jobs: Sequence[_Job], rows: Iterable[Rows]) -> Iterator[bytes]:
        """A message per event. They are interned as they are written, so only here, where rows are in order."""
        packets = PacketWriter()
        process = process_track(self.telemetry)
        for number, some in groupby(rows, itemgetter(0)):
            batches = (batch for _, batch in some)
            thread = jobs[number].thread
            if thread is None:
                yield from async_packets(packets, process, jobs[number].stream.stream_id, batches)
            else:
                yield from thread_packets(packets, thread, batches)

    def _encoded(self, job: _Job, writer: TraceWriter, turns: Turns) -> Iterator[Piece]:
        """The packets of one stream; scopes are interned in the order of the jobs."""
        self._begin(job)
        for piece in self._pieces(job, writer, turns):
            self.progress.made(size_bytes=len(piece))
            yield piece
        self.progress.made(threads=job.thread is not None)

    def _pieces(self, job: _Job, writer: TraceWriter, turns: Turns) -> Iterator[Piece]:
        encoder = writer.async_stream(job.stream.stream_id) if job.thread is None else writer.thread(job.thread)
        interned: dict[int, InternedScopes] = {}
        scope_tables: list[Any] = []
        try:
            read = job.stream.columns()
            scope_tables = read.scope_tables
        finally:
            with turns.take(job.number):
                for table in scope_tables:
                    interned[id(table)] = writer.intern(table.scopes, table.hashes)
        for scopes in interned.values():
            yield from scopes.definitions
        yield encoder.start()
        for batch in read.batches:
            self.progress.made(nb_spans=len(batch))
            yield from _encode(encoder, batch, interned[id(batch.scope_table)])
        yield from encoder.finish()


def _run(jobs: Sequence[Callable[[], Iterable[T]]], max_jobs: int) -> Iterator[T]:
    """The results of all jobs, in their order."""
    return run_ordered(
        jobs,
        max_jobs=max_jobs,
        max_waiting=4 * max_jobs,
        cancellation=Cancellation(),
        on_waiting=lambda more: None,
    )


def _encode(
    encoder: ThreadEncoder | AsyncEncoder, batch: SpanBatch | AsyncBatch, scopes: InternedScopes
) -> Iterator[Piece]:
    if isinstance(encoder, ThreadEncoder):
        assert isinstance(batch, SpanBatch)
        return encoder.encode(batch.begins_ns, batch.ends_ns, batch.depths, batch.scopes, scopes)
    assert isinstance(batch, AsyncBatch)
    return encoder.encode(
        batch.event_ids,
        batch.other_event_ids,
        batch.times_ns,
        batch.other_times_ns,
        batch.span_ids,
        batch.parent_span_ids,
        batch.scopes,
        scopes,
    )
