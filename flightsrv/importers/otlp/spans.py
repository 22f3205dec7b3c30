"""Spans are whole spans, their links are links; what happened within them is an instant, and so is a failure."""

from collections.abc import Mapping
from typing import Protocol

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from flightsrv.importers.otlp.columns import LinkLists, LogLists, Rejections, SpanLists, is_time
from flightsrv.importers.otlp.source import PLACE, THREAD, source_of
from flightsrv.importers.otlp.values import Json, attributes_of, event_text, values_of
from udtf.lake.block_format import Scope

ID_BYTES = 8
_TOLD_OTHERWISE = {*THREAD, *PLACE}

ERROR = 5
"""The level of the mark of a span that has failed."""


_KINDS: Mapping[int, str] = {
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
}
"""Those that say more than that it is within a program."""

_CALLING, _CALLED = (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER), (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)


class SpanSink(Protocol):
    """Where spans, instants and links go, by the attributes that say which thread they are of."""

    def spans(self, attributes: Mapping[str, AnyValue]) -> SpanLists: ...

    def logs(self, attributes: Mapping[str, AnyValue]) -> LogLists: ...

    def links(self, attributes: Mapping[str, AnyValue]) -> LinkLists: ...


def gather_spans(resource_spans: ResourceSpans, sink: SpanSink, rejected: Rejections) -> None:
    """Add the spans of a resource to lists."""
    for scope_spans in resource_spans.scope_spans:
        target = event_text(scope_spans.scope.name)
        for span in scope_spans.spans:
            if reason := _what_is_wrong(span):
                rejected.add(reason)
                continue
            attributes = attributes_of(span.attributes)
            scope = source_of(attributes, target)._replace(name=event_text(span.name))
            parent = _id(span.parent_span_id) if _has_parent(span) else 0
            sink.spans(attributes).add(
                *(span.start_time_unix_nano, span.end_time_unix_nano, scope, _id(span.span_id), parent),
                _noted(span, attributes),
            )
            _add_instants(span, scope, attributes, sink)
            _add_links(span, scope, attributes, sink)


def _add_instants(span: Span, scope: Scope, attributes: Mapping[str, AnyValue], sink: SpanSink) -> None:
    of_span = {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex()}
    for event in span.events:
        if is_time(event.time_unix_nano):
            values = values_of(attributes_of(event.attributes)) | of_span
            told = [str(values[name]) for name in ("exception.type", "exception.message") if name in values]
            text = event_text(": ".join([event.name, *told]))
            sink.logs(attributes).add(event.time_unix_nano, 0, scope, text, values)
    if span.status.code == Status.STATUS_CODE_ERROR:
        text = event_text(span.status.message or f"{span.name} failed")
        sink.logs(attributes).add(span.end_time_unix_nano, ERROR, scope, text, of_span)


def _add_links(span: Span, scope: Scope, attributes: Mapping[str, AnyValue], sink: SpanSink) -> None:
    """From each of the spans that a span names, in this process or another."""
    named = scope._replace(name="link")
    for link in span.links:
        if _is_id(link.span_id):
            values = values_of(attributes_of(link.attributes)) | {"trace_id": link.trace_id.hex()}
            sink.links(attributes).add(span.start_time_unix_nano, named, _id(span.span_id), _id(link.span_id), values)


def _noted(span: Span, attributes: Mapping[str, AnyValue]) -> dict[str, Json]:
    """The attributes of a span, and what else is known of it that has no column."""
    values = values_of(attributes, _TOLD_OTHERWISE)
    values["trace_id"] = span.trace_id.hex()
    if span.kind in _KINDS:
        values["span.kind"] = _KINDS[span.kind]
    # The attributes by which spans of different processes are linked, whatever has traced them.
    if span.kind in _CALLING:
        values["span_id"] = span.span_id.hex()
    if span.kind in _CALLED and _has_parent(span):
        values["parent_span_id"] = span.parent_span_id.hex()
    if span.status.code == Status.STATUS_CODE_ERROR:
        values["error"] = True
        if span.status.message:
            values["error.message"] = span.status.message
    return values


def _has_parent(span: Span) -> bool:
    return _is_id(span.parent_span_id)


def _is_id(data: bytes) -> bool:
    return len(data) == ID_BYTES and any(data)


def _what_is_wrong(span: Span) -> str | None:
    if not _is_id(span.span_id):
        return f"span {span.name[:100]!r} has the id {span.span_id.hex()!r}, expected {ID_BYTES} bytes, not all 0"
    begin_ns, end_ns = span.start_time_unix_nano, span.end_time_unix_nano
    if not (is_time(begin_ns) and is_time(end_ns)):
        return f"span {span.name[:100]!r} is from {begin_ns} to {end_ns} ns, expected times from 1970 to 2262"
    if end_ns < begin_ns:
        return f"span {span.name[:100]!r} ends {begin_ns - end_ns} ns before it begins"
    return None


def _id(data: bytes) -> int:
    """Its 64 bits as a signed number."""
    return int.from_bytes(data, "big", signed=True)
