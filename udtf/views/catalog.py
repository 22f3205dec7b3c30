"""Every kind of telemetry that there is."""

from udtf.views.async_events import AsyncEvents
from udtf.views.kind import Kind
from udtf.views.links import Links
from udtf.views.log_entries import LogEntries
from udtf.views.measures import Measures
from udtf.views.thread_spans import ThreadSpans
from udtf.views.whole_spans import WholeSpans

KINDS: list[Kind] = [ThreadSpans(), AsyncEvents(), WholeSpans(), LogEntries(), Measures(), Links()]


SPAN_TYPES = ("thread", "async", "both", "all")
"""What selects kinds of telemetry: one type of spans, both, or everything."""


def kind_named(name: str) -> Kind:
    """The kind whose view set has this name; raises KeyError."""
    return {kind.name: kind for kind in KINDS}[name]


def kinds_in_trace(span_types: str) -> list[Kind]:
    """What a trace shows: everything if that is 'all', or else the kinds of spans that `span_types` selects."""
    return list(KINDS) if span_types == "all" else kinds_of_spans(span_types)


def kinds_of_spans(span_types: str) -> list[Kind]:
    """The kinds of spans that `span_types` selects: that of one type, or 'both' of them, which 'all' has as well."""
    return [kind for kind in KINDS if kind.span_type is not None and span_types in (kind.span_type, "both", "all")]
