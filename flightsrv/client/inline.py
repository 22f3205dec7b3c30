"""A trace in a notebook."""

import gzip
import uuid
from base64 import b64encode
from html import escape
from typing import Self

from flightsrv.client.traces import TraceResult

MAX_EMBEDDED_BYTES = 4 << 20
"""A notebook keeps what its cells show: a trace that is larger than this, compressed, is not part of it."""
_MAX_RATIO = 16
"""No trace of spans is compressed to less than this part of its size: a larger one need not be tried."""

PERFETTO_UI = "https://ui.perfetto.dev"


class Trace(bytes):
    """The bytes of a Perfetto trace, as a file holds them.

    As the value of a notebook's cell it shows its size, what it is missing, and two links: one opens it in the Perfetto
    UI, one saves it. The trace is in the cell, compressed; one too large for that is described without links.

    Attributes:
        result: what the server says of the trace.
    """

    result: TraceResult

    def __new__(cls, data: bytes, result: TraceResult) -> Self:
        trace = super().__new__(cls, data)
        trace.result = result
        return trace

    def __reduce__(self) -> tuple[type[Self], tuple[bytes, TraceResult]]:
        return type(self), (bytes(self), self.result)

    def _repr_html_(self) -> str:
        result = self.result
        facts = [_count(result.nb_spans, "span"), _size(len(self))]
        warnings = [
            *(f"Thread {thread.stream_id} is missing: {thread.message}" for thread in result.failed_threads),
            *([f"{_count(result.lost_events, 'event')} lost before the server"] if result.lost_events else []),
            *([f"{_count(result.dropped_spans, 'span')} dropped by the program"] if result.dropped_spans else []),
        ]
        links = "too large to be kept in the notebook: write it to a file with <code>trace_to_file</code>"
        if len(self) <= _MAX_RATIO * MAX_EMBEDDED_BYTES:
            packed = gzip.compress(self, compresslevel=6, mtime=0)
            if len(packed) <= MAX_EMBEDDED_BYTES:
                links = _links(b64encode(packed).decode())
        return (
            f"<div><strong>Perfetto trace</strong>, {', '.join(facts)}: {links}</div>"
            f"{''.join(f'<div>Warning: {escape(warning)}</div>' for warning in warnings)}"
        )


def _links(packed: str) -> str:
    """Links to a trace that is compressed with gzip, which the Perfetto UI reads as it is, in base64."""
    link_id = f"trace-{uuid.uuid4().hex}"
    return (
        f'<a id="{link_id}" download="trace.pftrace.gz" href="data:application/gzip;base64,{packed}">download</a>'
        f' <a href="{PERFETTO_UI}" onclick="{escape(_OPEN.format(link_id=link_id, ui=PERFETTO_UI))}; return false">'
        "open in Perfetto</a>"
    )


_OPEN = """
const ui = window.open('{ui}');
const data = document.getElementById('{link_id}').href.split(',')[1];
const buffer = Uint8Array.from(atob(data), (character) => character.charCodeAt(0)).buffer;
const asking = setInterval(() => ui.closed ? clearInterval(asking) : ui.postMessage('PING', '*'), 100);
const hear = (event) => {{
  if (event.source !== ui || event.origin !== '{ui}' || event.data !== 'PONG') return;
  clearInterval(asking);
  window.removeEventListener('message', hear);
  ui.postMessage({{perfetto: {{buffer, title: 'Trace'}}}}, '{ui}');
}};
window.addEventListener('message', hear)
"""
"""Asks the Perfetto UI in a new window until it answers, then hands the trace over. Names of the window are given as
such, since a handler sees those of its element and of the document first.
https://perfetto.dev/docs/visualization/deep-linking-to-perfetto-ui"""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.1f} kB"
