"""A trace as a notebook shows it."""

import gzip
import pickle
import random
import re
from base64 import b64decode

import pytest

from flightsrv.client import FailedThread, QueryClient, Trace, TraceResult
from flightsrv.client.inline import MAX_EMBEDDED_BYTES

RESULT = TraceResult(12, 2, (), 0, nb_spans=3)


def embedded(html: str) -> bytes:
    """The trace in a link of the HTML."""
    [packed] = re.findall(r'href="data:application/gzip;base64,([^"]+)"', html)
    return gzip.decompress(b64decode(packed))


def test_a_trace_has_itself_in_its_links(client: QueryClient, process_id: str) -> None:
    """It is bytes as ever, and says what is in it."""
    trace = client.trace(process_id)
    assert isinstance(trace, bytes)
    html = trace._repr_html_()
    assert embedded(html) == trace
    assert "2 spans" in html
    assert "Warning" not in html


def test_what_is_missing_is_told() -> None:
    """As text, whatever a message says."""
    result = TraceResult(1, 1, (FailedThread("<s1>", "block <b>&</b> is corrupt"),), 7, 9, 1)
    html = Trace(b"x", result)._repr_html_()
    assert "1 span, " in html
    assert "Thread &lt;s1&gt; is missing: block &lt;b&gt;&amp;&lt;/b&gt; is corrupt" in html
    assert "7 events lost" in html
    assert "9 spans dropped" in html


@pytest.mark.parametrize("size_bytes", [MAX_EMBEDDED_BYTES + 1000, 40 * MAX_EMBEDDED_BYTES])
def test_a_large_trace_is_not_kept_in_the_notebook(size_bytes: int) -> None:
    """However well it could be compressed; the text says what to do."""
    data = random.Random(7).randbytes(size_bytes) if size_bytes < 2 * MAX_EMBEDDED_BYTES else bytes(size_bytes)
    html = Trace(data, RESULT)._repr_html_()
    assert "trace_to_file" in html
    assert len(html) < 1000


def test_a_trace_can_be_sent_to_another_process() -> None:
    """With what is known of it."""
    copied = pickle.loads(pickle.dumps(Trace(b"some packets", RESULT)))
    assert (copied, copied.result) == (b"some packets", RESULT)
