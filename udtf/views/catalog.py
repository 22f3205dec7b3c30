"""Every kind of telemetry that there is."""

from udtf.views.async_events import AsyncEvents
from udtf.views.kind import Kind
from udtf.views.thread_spans import ThreadSpans

KINDS: list[Kind] = [ThreadSpans(), AsyncEvents()]


SPAN_TYPES = ("thread", "async", "both")
"""What selects kinds of spans."""


def kind_named(name: str) -> Kind:
    """The kind whose view set has this name; raises KeyError."""
    return {kind.name: kind for kind in KINDS}[name]


def kinds_in_trace(span_types: str) -> list[Kind]:
    """What a trace shows: the kinds of spans that `span_types` selects, and all kinds that have no spans."""
    spans = kinds_of_spans(span_types)
    return [kind for kind in KINDS if kind.span_type is None or kind in spans]


def kinds_of_spans(span_types: str) -> list[Kind]:
    """The kinds that `span_types` selects: that of one type of spans, or 'both' of them."""
    return [kind for kind in KINDS if kind.span_type is not None and span_types in (kind.span_type, "both")]
