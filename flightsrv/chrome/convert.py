"""From a Chrome JSON trace file to telemetry, with ids that depend on the content of the file alone."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from flightsrv.chrome.document import Document, read_document
from flightsrv.chrome.spans import AsyncColumns, Findings, ProcessSpans, SpanReader, as_arrays
from flightsrv.telemetry import Block, Process, Stream, cut_blocks
from udtf.lake import block_format, schemas
from udtf.lake.block_format import Events, scope_array

TICKS_PER_SECOND = 1_000_000_000
_NAMESPACE = uuid.UUID("6d0a3c1e-5b0f-4b56-9f0e-2f4f3c8f7a11")


@dataclass(frozen=True)
class ChromeTrace:
    """The telemetry in a trace file; ids are equal whenever the content is."""

    processes: tuple[Process, ...]
    streams: tuple[Stream, ...]
    events: tuple[Events, ...]
    """Those of each stream, in the same order."""
    findings: Findings

    def blocks(self) -> Iterator[Block]:
        """The blocks of all streams, made one after the other."""
        for stream, events in zip(self.streams, self.events, strict=True):
            ids = (_id(stream.stream_id, str(ordinal)) for ordinal in count())
            yield from cut_blocks(stream, events, new_id=ids.__next__)


def read_chrome_trace(path: Path, time_zero_ns: int = 0) -> ChromeTrace:
    """Read a trace file whole.

    `time_zero_ns` is the time, in nanoseconds since the Unix epoch, of what the file calls 0.

    Raises:
        ChromeTraceError: the content is not such a trace, or a time in it has no meaning.
        OSError: the file cannot be read.
    """
    document = read_document(path)
    reader = SpanReader()
    reader.read(document.events)
    return _Conversion(document, reader, time_zero_ns).trace()


class _Conversion:
    def __init__(self, document: Document, reader: SpanReader, time_zero_ns: int) -> None:
        self._root = f"{document.digest}/{time_zero_ns}"
        self._reader = reader
        self._time_zero_ns = time_zero_ns
        self._scope_table = scope_array(reader.scopes)

    def trace(self) -> ChromeTrace:
        processes: list[Process] = []
        streams: list[Stream] = []
        events: list[Events] = []
        for pid, spans in self._reader.processes.items():
            process_id = _id(str(_NAMESPACE), f"{self._root}/{pid}")
            of_process = list(self._streams(process_id, spans))
            streams += (stream for stream, _ in of_process)
            events += (columns for _, columns in of_process)
            first = min((int(columns.ticks[0]) for _, columns in of_process if len(columns)), default=0)
            properties = {"pid": pid} | ({"labels": spans.labels} if spans.labels else {})
            processes.append(
                Process(
                    process_id,
                    tsc_frequency=TICKS_PER_SECOND,
                    start_time_ns=self._time_zero_ns + first,
                    start_ticks=first,
                    exe=spans.name,
                    properties=properties,
                )
            )
        return ChromeTrace(tuple(processes), tuple(streams), tuple(events), self._reader.findings)

    def _streams(self, process_id: str, spans: ProcessSpans) -> Iterator[tuple[Stream, Events]]:
        for tid, thread in spans.threads.items():
            name = thread.name or f"thread {tid}"
            for lane, columns in enumerate(self._reader.sequences(thread), 1):
                lane_name = name if lane == 1 else f"{name} (overlap {lane})"
                stream = Stream(
                    _id(process_id, f"thread/{lane}/{tid}"),
                    process_id,
                    (schemas.THREAD_TAG,),
                    {"thread-name": lane_name, "thread-id": tid},
                )
                yield stream, Events(*as_arrays(columns), self._scope_table)
        if spans.async_columns.events.ticks:
            stream = Stream(_id(process_id, "async"), process_id, (schemas.ASYNC_TAG,))
            yield stream, self._async_events(spans.async_columns)

    def _async_events(self, columns: AsyncColumns) -> Events:
        return Events(
            *as_arrays(columns.events),
            self._scope_table,
            block_format.AsyncColumns(
                np.asarray(columns.span_ids),
                np.asarray(columns.parent_span_ids),
                np.asarray(columns.depths, np.uint32),
            ),
        )


def _id(parent: str, name: str) -> str:
    """An id made from that of what it belongs to; equal for equal names."""
    return str(uuid.uuid5(uuid.UUID(parent), name))
