"""What Perfetto's own trace processor finds in a Chrome JSON trace is imported, span by span, damaged or not."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsrv.importers.chrome import ChromeTrace, ChromeTraceError, read_chrome_trace
from tests.importers.chrome.spans_of import async_spans, ingest, thread_spans
from tests.model.lake import Reader
from tests.model.strategies import ALL_TIME
from tests.support.trace_processor import NODE, TraceProcessor, TraceProcessorError
from udtf.lake.lake import Lake

_SPANS = r"""
    SELECT ts, dur, CASE WHEN name GLOB '*[^ -~]*' OR name GLOB '*\*' THEN NULL ELSE name END AS name
    FROM slice WHERE dur >= -1
"""
"""A name that is no plain text, or has escapes that Perfetto leaves, is not compared; a length below 0 is none."""
_LATEST_NS = 1 << 62


def spans_of(trace: ChromeTrace) -> list[tuple[int, int, str]]:
    """(begin, duration or -1, name) of all spans."""
    spans = [span for spans in thread_spans(trace).values() for span in spans]
    spans += [span for _, span, _, _ in async_spans(trace)]
    return [
        (span.begin_ns, -1 if span.end_ns == -1 else span.end_ns - span.begin_ns, span.name or "[No name]")
        for span in spans
    ]


names = st.sampled_from(["a", "b", "compile (x.py:3)", 'say "hi"', "täler", "line\nbreak", "{odd}", "]"])
arguments = st.sampled_from([{}, {"args": {"l": [1, {"b": "}"}, "]"]}}, {"args": {"f": 1.5, "n": None}}])


@st.composite
def traces(draw: st.DrawFn) -> bytes:
    """A valid file of threads whose spans nest, in all the ways to write them."""
    events = []
    for tid in range(1, draw(st.integers(1, 3)) + 1):
        ts = draw(st.integers(0, 100))
        for _ in range(draw(st.integers(1, 4))):
            common = {"pid": 1, "tid": tid, "name": draw(names)} | draw(arguments)
            length = draw(st.integers(4, 30))
            inside = {"ph": "X", "pid": 1, "tid": tid, "ts": ts + 1, "dur": length - 2, "name": draw(names)}
            match draw(st.sampled_from("XBb")):
                case "X":
                    events += [{**common, "ph": "X", "ts": ts, "dur": length}, inside]
                case "B":
                    end = {"ph": "E", "pid": 1, "tid": tid, "ts": ts + length} | draw(
                        st.sampled_from([{}, {"name": common["name"]}])
                    )
                    events += [{**common, "ph": "B", "ts": ts}, inside, end]
                case "b":
                    key = {"cat": "c", "id": f"{tid}.{len(events)}"}
                    events += [{**common, **key, "ph": "b", "ts": ts}, {**common, **key, "ph": "e", "ts": ts + length}]
            ts += length + draw(st.integers(0, 3))
    body = draw(st.sampled_from([",", ",\n"])).join(
        json.dumps(event, ensure_ascii=draw(st.booleans())) for event in events
    )
    form = draw(
        st.sampled_from(["[@]", "[@", "[@,]", '{"traceEvents":[@]}', '{"a":{"x":"[{"},"traceEvents": [@],"b":1}'])
    )
    return form.replace("@", body).encode()


damages = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "drop", "add"]),
        st.integers(0, 1 << 16),
        st.integers(0, 7),
        st.sampled_from([b",", b"NaN", b"\0", b"\n", b"\xff", b'"', b"}", b"{", b"]", b"-", b"inf", b"\\"]),
    ),
    max_size=3,
)


def damaged(data: bytes, by: list[tuple[str, int, int, bytes]]) -> bytes:
    """The file after all of that was done to it."""
    changed = bytearray(data)
    for kind, place, bit, text in by:
        place %= len(changed) or 1
        match kind:
            case "flip" if changed:
                changed[place] ^= 1 << bit
            case "cut":
                del changed[place:]
            case "drop":
                del changed[place : place + bit]
            case "add":
                changed[place:place] = text
    return bytes(changed)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(traces(), damages)
def test_what_perfetto_reads_is_imported(tmp_path: Path, trace_processor: TraceProcessor, data, damages) -> None:
    """Each span that it finds in a file, with its begin and name; and its end, unless damage puts ends out of order,
    where it makes ends up."""
    data = damaged(data, damages)
    try:
        loaded = trace_processor.load(data)
    except TraceProcessorError:
        return
    rows = loaded.query(_SPANS)
    out_of_order = loaded.query("SELECT value FROM stats WHERE name = 'misplaced_end_event' AND value > 0")
    path = tmp_path / "trace.json"
    path.write_bytes(data)
    try:
        trace = read_chrome_trace(path)
    except ChromeTraceError:
        assert not rows
        return
    found = defaultdict(list)
    for begin, duration, name in spans_of(trace):
        found[begin].append((duration, name))
    for row in rows:
        begin, duration, name = row["ts"], row["dur"], row["name"]
        assert isinstance(begin, int)
        assert isinstance(duration, int)
        if begin + duration >= _LATEST_NS:
            continue
        alike = [each for each, own in found[begin] if name in (None, own)]
        assert alike, (row, data)
        if duration != -1 and not out_of_order:
            assert duration in alike, (row, data)


def is_read_alike(trace_processor: TraceProcessor, path: Path) -> ChromeTrace:
    """The import of a file in which Perfetto finds the very same spans."""
    trace = read_chrome_trace(path)
    loaded = trace_processor.load(path.read_bytes())
    rows = loaded.query("SELECT ts, dur, name FROM slice")
    assert Counter(spans_of(trace)) == Counter((row["ts"], row["dur"], row["name"]) for row in rows)
    return trace


NODE_PROGRAM = """
const fs = require('fs');
for (let i = 0; i < 50; i++) fs.readFileSync(__filename);
setTimeout(() => {}, 50);
"""
CATEGORIES = "v8,node.fs.sync,node.async_hooks,node.environment"


def test_a_trace_of_node_is_read_alike(tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """Complete events and async ones, in an object. Instants, which Perfetto shows as spans, are left out."""
    (tmp_path / "program.js").write_text(NODE_PROGRAM)
    command = [NODE, "--trace-event-categories", CATEGORIES, "program.js"]
    subprocess.run(command, cwd=tmp_path, check=True)
    path = tmp_path / "node_trace.1.log"
    document = json.loads(path.read_text())
    document["traceEvents"] = [event for event in document["traceEvents"] if event["ph"] not in "nIiR"]
    path.write_text(json.dumps(document))
    trace = is_read_alike(trace_processor, path)
    assert trace.findings.spans > 50
    assert trace.findings.describe()[0] == f"Imported {trace.findings.spans} spans."

    content = path.read_text()
    path.write_text(content[: len(content) * 2 // 3])  # as a crash leaves it, which Perfetto refuses
    cut = read_chrome_trace(path)
    assert cut.findings.is_cut
    assert 0 < cut.findings.spans < trace.findings.spans
    assert not Counter((begin, name) for begin, _, name in spans_of(cut)) - Counter(
        (begin, name) for begin, _, name in spans_of(trace)
    )


_SLICES = """
    SELECT ts, dur, slice.name, coalesce(category, ''), tid
    FROM slice LEFT JOIN thread_track ON thread_track.id = slice.track_id LEFT JOIN thread USING (utid)
"""
_ALL = ",".join([CATEGORIES, "node", "node.fs.async", "node.perf", "node.perf.usertiming", "node.http"])
SERVING_PROGRAM = """
const http = require('http'), { performance } = require('perf_hooks');
performance.mark('started');
const server = http.createServer((request, response) => response.end('x')).listen(0, '127.0.0.1', () =>
    http.get({ port: server.address().port }, (response) => response.on('data', () => server.close())));
"""


def test_a_trace_of_node_is_shown_alike(tmp_path: Path, lake: Lake, trace_processor: TraceProcessor) -> None:
    """Instants and all, slice by slice, out of a lake again."""
    (tmp_path / "program.js").write_text(NODE_PROGRAM + SERVING_PROGRAM)
    command = [NODE, "--trace-event-categories", _ALL, "program.js"]
    subprocess.run(command, cwd=tmp_path, check=True)
    path = tmp_path / "node_trace.1.log"
    assert {"b", "e", "B", "E", "X", "I"} <= {event["ph"] for event in json.loads(path.read_text())["traceEvents"]}
    (process_id,) = ingest(lake, read_chrome_trace(path))
    expected = Counter(tuple(row.values()) for row in trace_processor.load(path.read_bytes()).query(_SLICES))
    loaded = trace_processor.load(Reader.of(lake).trace_bytes(process_id, "all", ALL_TIME))
    assert loaded.errors() == []
    assert Counter(tuple(row.values()) for row in loaded.query(_SLICES)) == expected


def test_a_trace_of_viztracer_is_read_alike(tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """Complete events in the order of their ends. Lengths are rounded otherwise: Perfetto computes with floats."""
    (tmp_path / "program.py").write_text("import json\nfor _ in range(5): json.dumps([1, {}])\n")
    command = [sys.executable, "-m", "viztracer", "--quiet", "-o", "result.json", "program.py"]
    subprocess.run(command, cwd=tmp_path, check=True)
    path = tmp_path / "result.json"
    rows = trace_processor.load(path.read_bytes()).query("SELECT ts, name FROM slice")
    found = Counter((begin, name) for begin, _, name in spans_of(read_chrome_trace(path)))
    assert found == Counter((row["ts"], row["name"]) for row in rows)
