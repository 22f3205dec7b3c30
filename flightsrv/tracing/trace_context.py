"""Trace context: which request something is part of, as the headers `traceparent` and `tracestate` tell it from process
to process (W3C Trace Context).

What comes in is set for the task or the thread that serves a request, and goes out with the requests that are made
there. The spans of both sides have it as attributes, by which they are found and linked: `trace_id` on both, and the id
that was sent, `span_id` at the caller, and `parent_span_id` at the one that was called. A process need not know of the
other one, nor whether that is traced.
"""

import os
import re
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from flightsrv.tracing.recorder import active

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

_SAMPLED = "01"
_KNOWN_FLAGS = 0b11
"""Sampled, and random trace id."""
_PATTERN = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)


class TraceContext(NamedTuple):
    """A request of several processes; `parent_span_id` is empty in the process where it begins."""

    trace_id: str
    parent_span_id: str
    flags: str
    state: str

    @property
    def attributes(self) -> dict[str, str]:
        """Those of a span that serves it."""
        if not self.parent_span_id:
            return {"trace_id": self.trace_id}
        return {"trace_id": self.trace_id, "parent_span_id": self.parent_span_id}


def received(traceparents: Sequence[str], tracestates: Sequence[str]) -> TraceContext | None:
    """The context of a request that came in with these headers, a new one if there is none that is valid; None while
    nothing is recorded."""
    if active() is None:
        return None
    known = _parsed(traceparents[0]) if len(traceparents) == 1 else None
    if known is None:
        return _new()
    state = ",".join(tracestates).strip()
    # It came from outside, and must be fit for a header.
    return known._replace(state=state if state.isascii() and state.isprintable() else "")


@contextmanager
def entered(context: TraceContext | None) -> Iterator[None]:
    """Make requests that go out within it part of a context."""
    if context is None:
        yield
        return
    token = _current.set(context)
    try:
        yield
    finally:
        # Left in another context than it was entered in, as a coroutine that was given up is.
        with suppress(ValueError):
            _current.reset(token)


@contextmanager
def sent_with(headers: MutableMapping[str, Any]) -> Iterator[dict[str, str]]:
    """Give a request the context of the place where it is made, or a new one, until it is sent; what it has from
    another tracer stays. Gives the attributes of its span."""
    if active() is None:
        yield {}
        return
    known = headers.get(TRACEPARENT)
    if known is not None:
        context = _parsed(known.decode("latin-1") if isinstance(known, bytes) else known)
        yield {} if context is None else {"trace_id": context.trace_id, "span_id": context.parent_span_id}
        return
    context, span_id = _current.get() or _new(), _random_id(8)
    added = {TRACEPARENT: f"00-{context.trace_id}-{span_id}-{context.flags}"}
    if context.state and TRACESTATE not in headers:
        added[TRACESTATE] = context.state
    headers.update(added)
    try:
        yield {"trace_id": context.trace_id, "span_id": span_id}
    finally:
        # A redirect or another attempt is a request of its own.
        for name in added:
            headers.pop(name, None)


def current() -> TraceContext | None:
    """The context of the calling task or thread."""
    return _current.get()


def _parsed(traceparent: str) -> TraceContext | None:
    """What a header says; None if it is not valid. Later versions may say more, which is left out."""
    match = _PATTERN.fullmatch(traceparent.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "00" and more is not None:
        return None
    return TraceContext(trace_id, span_id, f"{int(flags, 16) & _KNOWN_FLAGS:02x}", "")


def _new() -> TraceContext:
    return TraceContext(_random_id(16), "", _SAMPLED, "")


def _random_id(nb_bytes: int) -> str:
    return os.urandom(nb_bytes).hex()


_current: ContextVar[TraceContext | None] = ContextVar("flightsrv_trace_context", default=None)
