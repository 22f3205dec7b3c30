"""What a request brings, gathered and handed on as rows to ingest.

Blocks have no ordinals: the lake appends them. Each is known by a hash of what was sent, so that a request that is sent
again, because its answer was lost, is stored once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from itertools import count
from typing import Any, TypeVar, cast

import pyarrow as pa
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from flightsrv.importers.otlp.columns import LinkLists, Lists, LogLists, Rejections, SpanLists, ValueLists
from flightsrv.importers.otlp.logs import gather_logs
from flightsrv.importers.otlp.metrics import gather_metrics
from flightsrv.importers.otlp.requests import Signal
from flightsrv.importers.otlp.resources import derived_id, process_of
from flightsrv.importers.otlp.spans import gather_spans
from flightsrv.importers.otlp.values import property_text, to_text
from flightsrv.storing import Introductions, Uploads, store_uploads
from flightsrv.telemetry import (
    Block,
    Process,
    Stream,
    blocks_batch,
    cut_blocks,
    link_stream,
    log_stream,
    measure_stream,
    whole_stream,
)

MAX_EXPORT_BYTES = 16 << 20
"""Of a request, without compression."""
MAX_KNOWN = 100_000

L = TypeVar("L", LogLists, SpanLists, ValueLists, LinkLists)


class Exports:
    """Stores what comes. Remembers when processes began and what the lake was told of them, which may be forgotten at
    any time. Safe to use from many threads."""

    def __init__(self) -> None:
        self._starts_ns: dict[str, int] = {}
        self._introductions = Introductions()

    def store(
        self,
        signal: Signal,
        request: Any,
        ingest: Callable[[str, pa.RecordBatch], object],
        refusal: type[Exception],
    ) -> Message:
        """Store what a request exports, by `ingest(table, rows)`, which returns when they are durable.

        Args:
            refusal: what `ingest` raises for rows that are wrong, or belong to what is not there.

        Returns:
            the answer to the request; it says what was left out.

        Raises:
            Exception: whatever `ingest` raises; nothing was stored, and all may be sent again.
        """
        rejections = Rejections()
        gathered = [each for each in _gather(signal, request, rejections) if each.has_events]
        processes = [self._begun(each.process()) for each in gathered]
        streams = [stream for each in gathered for stream in each.streams()]
        blocks = [block for each in gathered for block in each.blocks()]
        if blocks:
            store_uploads(Uploads(processes, streams, blocks_batch(blocks)), ingest, refusal, self._introductions)
        return signal.answer(rejections)

    def _begun(self, process: Process) -> Process:
        """A process with the earliest start that is known of it."""
        if len(self._starts_ns) > MAX_KNOWN:
            self._starts_ns.clear()
        start_ns = min(self._starts_ns.get(process.process_id, process.start_time_ns), process.start_time_ns)
        self._starts_ns[process.process_id] = start_ns
        return replace(process, start_time_ns=start_ns, start_ticks=start_ns)


_Thread = tuple[str, str]
"""The id of a thread and its name."""


class _OfProcess:
    """What a request brings of one process, stream by stream."""

    def __init__(self, described: Process) -> None:
        self.digest = blake2b(digest_size=16)
        self._described = described
        self._threads: dict[_Thread, Stream] = {}
        self._lists: dict[tuple[str, _Thread | None], tuple[Stream, Lists]] = {}

    def spans(self, attributes: Mapping[str, AnyValue]) -> SpanLists:
        """The lists for a span with these attributes."""
        return self._lists_of("span", _thread_of(attributes), SpanLists)

    def logs(self, attributes: Mapping[str, AnyValue]) -> LogLists:
        """The lists for a line with these attributes."""
        return self._lists_of("log", _thread_of(attributes), LogLists)

    def links(self, attributes: Mapping[str, AnyValue]) -> LinkLists:
        """The lists for links of a span with these attributes."""
        return self._lists_of("link", _thread_of(attributes), LinkLists)

    def values(self) -> ValueLists:
        """The lists for values of counters."""
        return self._lists_of("measure", None, ValueLists)

    def _lists_of(self, what: str, thread: _Thread | None, kind: Callable[[], L]) -> L:
        known = self._lists.get((what, thread))
        if known is None:
            known = self._lists[what, thread] = self._stream(what, thread), kind()
        return cast(L, known[1])

    def _stream(self, what: str, thread: _Thread | None) -> Stream:
        process_id = self._described.process_id
        of_thread = None if thread is None else self._thread(thread)
        match what:
            case "span":
                return of_thread or whole_stream(derived_id(process_id, what), process_id)
            case "log" | "link":
                stream_id = derived_id(process_id, what, *([of_thread.stream_id] if of_thread else []))
                return (log_stream if what == "log" else link_stream)(stream_id, process_id, of_thread)
        return measure_stream(derived_id(process_id, what), process_id)

    def _thread(self, thread: _Thread) -> Stream:
        """The stream of the spans of a thread."""
        if thread not in self._threads:
            thread_id, name = thread
            process_id = self._described.process_id
            stream_id = derived_id(process_id, "thread", thread_id or name)
            self._threads[thread] = whole_stream(stream_id, process_id, property_text(name), property_text(thread_id))
        return self._threads[thread]

    @property
    def has_events(self) -> bool:
        return bool(self._lists)

    def process(self) -> Process:
        """Its description, as far as the request tells."""
        start_ns = min(self._described.start_time_ns, *(min(lists.times_ns) for _, lists in self._lists.values()))
        return replace(self._described, start_time_ns=start_ns, start_ticks=start_ns)

    def streams(self) -> Iterator[Stream]:
        """Threads first, also those that have no spans here: what else is of them is shown with them."""
        yield from self._threads.values()
        threads = {thread.stream_id for thread in self._threads.values()}
        yield from (stream for stream, _ in self._lists.values() if stream.stream_id not in threads)

    def blocks(self) -> Iterator[Block]:
        request = self.digest.hexdigest()
        for stream, lists in self._lists.values():
            parts = count()
            yield from cut_blocks(
                stream,
                lists.columns(),
                None,
                new_id=lambda: f"{stream.stream_id}-{request}-{next(parts)}",  # noqa: B023
            )


def _gather(signal: Signal, request: Any, rejections: Rejections) -> list[_OfProcess]:
    gathered: dict[str, _OfProcess] = {}
    name = "spans" if signal.name == "traces" else signal.name
    for part in getattr(request, f"resource_{name}"):
        described = process_of(part.resource)
        of_process = gathered.setdefault(described.process_id, _OfProcess(described))
        of_process.digest.update(part.SerializeToString(deterministic=True))
        match signal.name:
            case "traces":
                gather_spans(part, of_process, rejections)
            case "logs":
                gather_logs(part, of_process.logs, rejections)
            case "metrics":
                gather_metrics(part, of_process.values, rejections)
    return list(gathered.values())


def _thread_of(attributes: Mapping[str, AnyValue]) -> _Thread | None:
    """The thread that an event with these attributes was on; those without a name are as many as there are requests."""
    name = attributes.get("thread.name")
    if name is None or not name.string_value:
        return None
    thread_id = attributes.get("thread.id")
    return "" if thread_id is None else to_text(thread_id), name.string_value
