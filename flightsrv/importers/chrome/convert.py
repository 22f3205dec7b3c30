"""From a Chrome JSON trace file to telemetry, with ids that depend on the content of the file alone."""

import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flightsrv.importers.chrome.async_spans import AsyncColumns
from flightsrv.importers.chrome.document import ChromeTraceError, Document
from flightsrv.importers.chrome.findings import Findings
from flightsrv.importers.chrome.flows import FlowEvents, Flows, LinkColumns, Place
from flightsrv.importers.chrome.nesting import EventColumns
from flightsrv.importers.chrome.spans import MomentColumns, ProcessSpans, SpanReader, ThreadSpans, as_arrays
from flightsrv.telemetry import (
    DEFAULT_BLOCK_EVENTS,
    AnyEvents,
    Block,
    Links,
    LogLines,
    Process,
    Stream,
    Values,
    cut_blocks,
)
from udtf.lake import block_format, schemas
from udtf.lake.block_format import MAX_PAYLOAD_BYTES, MAX_TEXT_BYTES, Events, scope_array

TICKS_PER_SECOND = 1_000_000_000
_NAMESPACE = uuid.UUID("6d0a3c1e-5b0f-4b56-9f0e-2f4f3c8f7a11")
_BASE_TIME = "baseTimeNanoseconds"
_LATEST_ZERO_NS = 1 << 62
"""As much as times in the file may be, so that the sum fits into 64 bits."""
_EARLIEST_NS, _LATEST_NS = -(1 << 63), (1 << 63) - 1
_MAX_NAMES_BYTES = MAX_PAYLOAD_BYTES // 2


@dataclass(frozen=True)
class ChromeTrace:
    """The telemetry in a trace file; ids are equal whenever the content is.

    `time_zero_ns` is the time, in nanoseconds since the Unix epoch, of what the file calls 0.
    """

    processes: tuple[Process, ...]
    streams: tuple[Stream, ...]
    events: tuple[AnyEvents, ...] = field(repr=False)
    """Those of each stream, in the same order."""
    time_zero_ns: int
    findings: Findings

    def blocks(self) -> Iterator[Block]:
        """The blocks of all streams, made one after the other."""
        for stream, events in zip(self.streams, self.events, strict=True):
            ids = (_id(stream.stream_id, str(ordinal)) for ordinal in count())
            yield from cut_blocks(stream, events, max_events=_block_events(events.scope_table), new_id=ids.__next__)


def read_chrome_trace(path: Path, time_zero_ns: int | None = None) -> ChromeTrace:
    """Read a trace file, whatever of it can be read.

    `time_zero_ns` is the time, in nanoseconds since the Unix epoch, of what the file calls 0. If it is not given, it is
    what the file says, or else 0; and if an event would lie before 1970 then, as much later as puts it there, because
    traces have no time before that.

    Raises:
        ChromeTraceError: the content is not such a trace, or has no time within 64 bits of nanoseconds.
        OSError: the file cannot be read.
    """
    reader = SpanReader()
    with closing(Document(path)) as document:
        reader.read(document.events())
        digest = document.digest()
    reader.findings.damages, reader.findings.first_damage = document.damages, document.first_damage
    reader.findings.is_cut, reader.findings.broken_gzip = document.is_cut, document.broken_gzip
    return _Conversion(digest, reader).trace(time_zero_ns, _base_time_ns(document.values, reader.findings))


@dataclass(frozen=True)
class _Lane:
    """The events of one stream to be: of a thread, all or some of its spans, its instants, or links to such spans; of a
    process the async ones, its own instants, its counters, or links. `thread` is the name of the stream of the thread
    that they are of, if it is another one."""

    stream_name: str
    properties: dict[str, str]
    tag: str
    events: AnyEvents
    thread: str | None = None
    is_needed: bool = False
    """Even without events, as that of a thread whose instants name it."""


class _Conversion:
    def __init__(self, digest: str, reader: SpanReader) -> None:
        self._digest = digest
        self._reader = reader
        self._flows = Flows(reader.leave_out_of_flows)
        self._scope_table = scope_array(reader.scopes)
        names = self._scope_table.field("name")
        is_long = pc.greater(pc.binary_length(names), MAX_TEXT_BYTES)
        self._messages = pc.if_else(is_long, pc.utf8_slice_codeunits(names, 0, MAX_TEXT_BYTES // 4), names)

    def trace(self, wanted_zero_ns: int | None, said_zero_ns: int) -> ChromeTrace:
        # What has a name but no events, as threads that did nothing, makes no process and no stream.
        lanes = {
            pid: found
            for pid, spans in self._reader.processes.items()
            if (found := [lane for lane in self._lanes(pid, spans) if lane.is_needed or len(lane.events)])
        }
        every = [lane.events.ticks for of_process in lanes.values() for lane in of_process if len(lane.events)]
        first = min((int(ticks[0]) for ticks in every), default=0)
        last = max((int(ticks[-1]) for ticks in every), default=0)
        zero_ns = max(said_zero_ns, -first) if wanted_zero_ns is None else wanted_zero_ns
        if wanted_zero_ns is None:
            self._reader.findings.moved_ns = zero_ns - said_zero_ns
        if not _EARLIEST_NS <= zero_ns + first <= zero_ns + last <= _LATEST_NS:
            raise ChromeTraceError("with this time for its 0, times in the file lie before the year 1678 or after 2262")
        process_ids = {pid: _id(str(_NAMESPACE), f"{self._digest}/{zero_ns}/{pid}") for pid in lanes}
        # Links are at times of spans, so they come before and after nothing else.
        for pid, links in self._link_lanes(process_ids):
            lanes[pid].append(links)
        processes: list[Process] = []
        streams: list[Stream] = []
        events: list[AnyEvents] = []
        for pid, of_process in lanes.items():
            process_id = process_ids[pid]
            first = min(int(lane.events.ticks[0]) for lane in of_process if len(lane.events))
            spans = self._reader.processes[pid]
            processes.append(
                Process(
                    process_id,
                    tsc_frequency=TICKS_PER_SECOND,
                    start_time_ns=zero_ns + first,
                    start_ticks=first,
                    exe=spans.name,
                    properties={
                        "pid": pid,
                        **({"labels": spans.labels} if spans.labels else {}),
                        **_sort_properties(spans.sort_index),
                    },
                )
            )
            for lane in of_process:
                properties = dict(lane.properties)
                if lane.thread is not None:
                    properties["thread-stream-id"] = _id(process_id, lane.thread)
                streams.append(Stream(_id(process_id, lane.stream_name), process_id, (lane.tag,), properties))
                events.append(lane.events)
        return ChromeTrace(tuple(processes), tuple(streams), tuple(events), zero_ns, self._reader.findings)

    def _lanes(self, pid: str, spans: ProcessSpans) -> Iterator[_Lane]:
        for tid, thread in spans.threads.items():
            sequences = self._reader.sequences(thread)
            if thread.flows.ticks:
                places = [
                    Place(pid, f"thread/{number}/{tid}", _thread_properties(tid, thread, number))
                    for number in range(1, len(sequences) + 1)
                ]
                self._flows.add_thread(places, sequences, thread.flows, np.asarray(thread.instants.ticks, np.int64))
                thread.flows = FlowEvents()
            yield from self._thread_lanes(tid, thread, sequences)
        yield _Lane("async", {}, schemas.ASYNC_TAG, self._async_events(spans.async_columns))
        yield _Lane("instants", {}, schemas.LOG_TAG, self._instants(spans.instants))
        yield _Lane("counters", {}, schemas.MEASURE_TAG, self._counters(spans.counters))

    def _thread_lanes(self, tid: str, thread: ThreadSpans, sequences: Sequence[EventColumns]) -> Iterator[_Lane]:
        for number, columns in enumerate(sequences, 1):
            properties = _thread_properties(tid, thread, number) | _sort_properties(thread.sort_index)
            events = Events(*as_arrays(columns), self._scope_table, attributes=self._attributes(columns.arguments))
            is_needed = number == 1 and bool(thread.instants.ticks)
            yield _Lane(f"thread/{number}/{tid}", properties, schemas.THREAD_TAG, events, is_needed=is_needed)
        lines = self._instants(thread.instants)
        yield _Lane(
            f"instants/{tid}", _thread_properties(tid, thread), schemas.LOG_TAG, lines, thread=f"thread/1/{tid}"
        )

    def _link_lanes(self, process_ids: Mapping[str, str]) -> Iterator[tuple[str, _Lane]]:
        """The links of each process; `process_ids` by pid."""
        if (marked := self._reader.marked) is not None:
            self._flows.add_async([Place(pid, "async") for pid in marked.pids], self._reader.async_flows, marked)
        places = self._flows.places
        stream_ids: npt.NDArray[np.object_] = np.empty(len(places), np.object_)
        for place, columns in self._flows.links():
            for origin in np.unique(columns.from_places).tolist():
                stream_ids[origin] = _id(process_ids[places[origin].pid], places[origin].stream_name)
            where = places[place]
            properties = dict(where.thread_properties)
            thread = where.stream_name if properties else None
            links = self._links(columns, pa.array(stream_ids[columns.from_places], pa.utf8()))
            yield where.pid, _Lane(f"links/{where.stream_name}", properties, schemas.LINK_TAG, links, thread=thread)

    def _links(self, columns: LinkColumns, from_streams: pa.StringArray) -> Links:
        self._reader.findings.links += len(columns.ticks)
        return Links(
            columns.ticks,
            columns.scopes,
            self._scope_table,
            columns.from_ticks,
            from_streams,
            columns.span_ids,
            columns.from_span_ids,
            self._reader.arguments.attributes(columns.arguments),
        )

    def _async_events(self, columns: AsyncColumns) -> Events:
        async_columns = block_format.AsyncColumns(
            np.asarray(columns.span_ids), np.asarray(columns.parent_span_ids), np.asarray(columns.depths, np.uint32)
        )
        attributes = self._attributes(columns.events.arguments)
        return Events(*as_arrays(columns.events), self._scope_table, async_columns, attributes)

    def _instants(self, columns: MomentColumns) -> LogLines:
        order = np.argsort(columns.ticks, kind="stable")
        codes = np.asarray(columns.scopes, np.int32)[order]
        messages = self._messages.take(pa.array(codes))
        ticks = np.asarray(columns.ticks, np.int64)[order]
        attributes = self._reader.arguments.attributes(np.asarray(columns.arguments, np.int32)[order])
        return LogLines(ticks, np.zeros(len(order), np.uint8), codes, self._scope_table, messages, attributes)

    def _attributes(self, codes: "array[int]") -> pa.BinaryArray | None:
        return self._reader.arguments.attributes(np.asarray(codes, np.int32))

    def _counters(self, columns: MomentColumns) -> Values:
        order = np.argsort(columns.ticks, kind="stable")
        ticks = np.asarray(columns.ticks, np.int64)[order]
        codes = np.asarray(columns.scopes, np.int32)[order]
        units = pa.array([""]).take(pa.array(np.zeros(len(order), np.int32)))
        return Values(ticks, codes, self._scope_table, units, np.asarray(columns.values, np.float64)[order])


def _thread_properties(tid: str, thread: ThreadSpans, number: int = 1) -> dict[str, str]:
    """What the streams of a thread say of it, or those of spans that overlap others of it in part."""
    name = thread.name or f"thread {tid}"
    return {"thread-name": name if number == 1 else f"{name} (overlap {number})", "thread-id": tid}


def _sort_properties(sort_index: int | None) -> dict[str, str]:
    return {} if sort_index is None else {"sort-index": str(sort_index)}


def _base_time_ns(values: Mapping[str, Any], findings: Findings) -> int:
    """What the file says of its time zero, 0 if that is nothing; PyTorch says it, and so does viztracer, elsewhere."""
    of_viztracer = values.get("viztracer_metadata")
    said = values.get(_BASE_TIME, of_viztracer.get(_BASE_TIME) if isinstance(of_viztracer, dict) else None)
    if said is None:
        return 0
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < _LATEST_ZERO_NS:
        return said
    findings.unusable_base_time = repr(said)[:60]
    return 0


def _block_events(scope_table: pa.StructArray) -> int:
    """How many events a block may have so that their names have room in it, all different ones in the worst case."""
    texts = [scope_table.field(name) for name in ("name", "target", "filename")]
    if sum(text.nbytes for text in texts) < _MAX_NAMES_BYTES:
        return DEFAULT_BLOCK_EVENTS
    longest_bytes: int = sum(pc.max(pc.binary_length(text)).as_py() for text in texts)
    return min(DEFAULT_BLOCK_EVENTS, max(1, _MAX_NAMES_BYTES // longest_bytes))


def _id(parent: str, name: str) -> str:
    """An id made from that of what it belongs to; equal for equal names."""
    return str(uuid.uuid5(uuid.UUID(parent), name))
