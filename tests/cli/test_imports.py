"""Files that writers of Chrome traces make in real life: imported, traced, and seen by Perfetto's trace processor."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from flightsrv.cli import main
from flightsrv.cli.import_chrome import send
from flightsrv.importers.chrome import read_chrome_trace
from udtf.lake.ingestion.ingest import MAX_ROWS


def run(shell, *arguments):
    """What a command wrote that succeeded: in this process, which has loaded what commands need."""
    result = CliRunner().invoke(main, [*arguments, "--url", shell.url])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr.splitlines()


def imported(shell, text):
    """The trace of all processes in a file, as README has it made, and what the import told."""
    path, traced = shell.folder / "result.json", shell.folder / "result.pftrace"
    path.write_text(text)
    process_ids, told = run(shell, "import-chrome", str(path))
    run(shell, "trace", process_ids.rstrip("\n"), "-o", str(traced))
    return traced.read_bytes(), told


def shown(loaded):
    """(begin, duration, depth, name) of all slices, by time."""
    found = ((piece.begin_ns, piece.duration_ns, piece.depth, piece.name) for piece in loaded.slices())
    return sorted(found)


TWO = [(1_000, 10_000, 0, "compile"), (20_000, 10_000, 0, "link")]
EVENTS = [
    '{"ph":"X","pid":5,"tid":1,"ts":1,"dur":10,"name":"compile"}',
    '{"ph":"X","pid":5,"tid":1,"ts":20,"dur":10,"name":"link"}',
]
ODD = '{"ph":"X","pid":5,"tid":1,"ts":15,"dur":1,"name":"odd"}'
BOTH = ",\n".join(EVENTS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[{BOTH},\n]", []),
        (f'{{"traceEvents":[{BOTH},\n]}}', []),
        (f"[{BOTH}", []),
        (f"[{BOTH},\n{ODD[:40]}", ["The file ends in the middle: it seems to be cut."]),
        (f'{{"otherData":{{"v":"1"}},"traceEvents":[{BOTH},', ["The file ends in the middle: it seems to be cut."]),
        (
            f"[{BOTH},{ODD.replace(':1,', ':-1,', 3)}]".replace('"pid":-1', '"pid":5'),
            ["1 event left out: its duration, 'dur', is below 0 (first: event 2, 'odd')."],
        ),
        (
            f"[{BOTH},{ODD.replace(':15', ':null')}]",
            ["1 event left out: 'ts' is no number of microseconds (first: event 2, 'odd')."],
        ),
        (
            f"[{EVENTS[0]},{ODD[:-1]},{EVENTS[1]}]",
            [
                "1 place in the file not JSON, what is there left out "
                "(first: Expecting property name enclosed in double quotes, behind 61 characters)."
            ],
        ),
    ],
)
def test_one_odd_event_costs_itself_alone(shell, trace_processor, text, told):
    """The others are shown with their times, and a line says what is missing."""
    trace, lines = imported(shell, text)
    loaded = trace_processor.load(trace)
    assert shown(loaded) == TWO
    assert loaded.errors() == []
    assert lines[0] == "Imported 2 spans."
    assert lines[1:] == told


def test_arguments_and_names_may_be_odd(shell, trace_processor):
    """Neither costs anything."""
    events = [
        '{"ph":"M","pid":1,"tid":7,"name":"thread_name","args":{"name":"worker\\u0000\\u0000"}}',
        '{"ph":"X","pid":1,"tid":7,"ts":3,"dur":1,"name":"step","args":{"loss":NaN,"norm":inf}}',
        '{"ph":"X","pid":1,"tid":7,"ts":5,"dur":1,"name":"lib = Library(\n  x): <module>"}',
    ]
    loaded = trace_processor.load(imported(shell, f"[{','.join(events)}]")[0])
    assert shown(loaded) == [(3_000, 1_000, 0, "step"), (5_000, 1_000, 0, "lib = Library(\n  x): <module>")]
    assert {piece.thread_name for piece in loaded.slices()} == {"worker"}


def test_a_span_before_time_0_is_shown(shell, trace_processor):
    """As Bazel writes one for its launch: traces have nothing before 1970, so all is later."""
    events = [
        {"name": "Launch", "ph": "X", "ts": -613000, "dur": 613000, "pid": 1, "tid": 38},
        {"name": "Initialize", "ph": "X", "ts": 0, "dur": 90000, "pid": 1, "tid": 38},
    ]
    trace, lines = imported(shell, json.dumps(events))
    loaded = trace_processor.load(trace)
    assert shown(loaded) == [(0, 613_000_000, 0, "Launch"), (613_000_000, 90_000_000, 0, "Initialize")]
    assert lines[1].startswith("Time begins 0.613 s before the file's own 0")


def test_a_lost_end_costs_no_other_span(shell, trace_processor):
    """Requests follow each other as they did."""
    events = []
    for number in range(3):
        for phase, name, ts in (("B", f"request {number}", 0), ("B", "query", 1), ("E", f"request {number}", 5)):
            events.append({"ph": phase, "pid": 1, "tid": 1, "ts": 10 * number + ts, "name": name})
    trace, lines = imported(shell, json.dumps(events))
    found = [
        (begin, duration, depth) for begin, duration, depth, name in shown(trace_processor.load(trace)) if depth == 0
    ]
    assert found == [(0, 5_000, 0), (10_000, 5_000, 0), (20_000, 5_000, 0)]
    assert lines[1] == "3 spans without an end of their own: ended with the span around."


def test_async_spans_that_share_an_id_keep_their_ends(shell, trace_processor):
    """Though one begins inside of the other and ends after it."""
    marks = [
        ("b", "page", 0),
        ("b", "load", 0),
        ("e", "load", 30),
        ("b", "paint", 10),
        ("e", "paint", 40),
        ("e", "page", 50),
    ]
    events = [
        {"ph": phase, "cat": "promise", "id": "7", "pid": 1, "tid": 1, "ts": ts, "name": name}
        for phase, name, ts in marks
    ]
    loaded = trace_processor.load(imported(shell, json.dumps(events))[0])
    assert {(piece.name, piece.begin_ns, piece.duration_ns) for piece in loaded.slices()} == {
        ("page", 0, 50_000),
        ("load", 0, 30_000),
        ("paint", 10_000, 30_000),
    }


def test_processes_of_one_file_are_one_trace(shell, trace_processor):
    """A program and the GPU it uses, which profilers call process 0; what has only a name is not shown."""
    names = [
        {"ph": "M", "pid": pid, "tid": 0, "ts": 1, "name": "process_name", "args": {"name": f"python {pid}"}}
        for pid in (4100, 0, 1)
    ]
    streams = [
        {"ph": "M", "pid": 0, "tid": tid, "ts": 1, "name": "thread_name", "args": {"name": f"stream {tid}"}}
        for tid in (7, 8)
    ]
    spans = [
        {"ph": "X", "pid": 4100, "tid": 4100, "ts": 1666382280874284, "dur": 20, "name": "aten::add", "cat": "cpu_op"},
        {"ph": "X", "pid": 0, "tid": 7, "ts": 1666382280874290, "dur": 5, "name": "vec_add", "cat": "kernel"},
    ]
    trace, lines = imported(shell, json.dumps({"traceEvents": names + streams + spans}))
    loaded = trace_processor.load(trace)
    assert {
        (piece.process_id, piece.process_name, piece.thread_id, piece.name, piece.begin_ns) for piece in loaded.slices()
    } == {
        (4100, "python 4100", 4100, "aten::add", 1666382280874284000),
        (0, "python 0", 7, "vec_add", 1666382280874290000),
    }
    assert loaded.errors() == []
    assert lines == ["Imported 2 spans."]


def test_a_file_says_when_it_was_recorded(shell):
    """And the lake has its spans at that time; who knows better says so."""
    event = {"ph": "X", "name": "aten::mm", "pid": 4100, "tid": 4100, "ts": 5.250, "dur": 2.5}
    document = {"baseTimeNanoseconds": 1718000000000000000, "traceEvents": [event]}
    (shell.folder / "torch.json").write_text(json.dumps(document))
    for options, begin in (
        ([], "2024-06-10T06:13:20.000005250Z"),
        (["--start-time", "2026-01-01T10:00:00Z"], "2026-01-01T10:00:00.000005250Z"),
    ):
        process_id, _ = run(shell, "import-chrome", str(shell.folder / "torch.json"), *options)
        statement = f"SELECT min(begin) AS begin FROM process_spans('{process_id.strip()}', 'thread')"
        assert run(shell, "query", statement, "--format", "csv")[0].split() == ["begin", begin]


def test_a_file_of_very_many_threads_is_sent_in_parts(tmp_path):
    """A server takes only so many rows at once."""
    events = [
        {"ph": "X", "pid": number % 11_000, "tid": number, "ts": 1, "dur": 1, "name": "a"} for number in range(12_000)
    ]
    (tmp_path / "many.json").write_text(json.dumps(events))
    sent = Counter()

    class Client:
        def ingest(self, table, batch):
            assert batch.num_rows <= MAX_ROWS
            sent[table] += batch.num_rows

    send(read_chrome_trace(tmp_path / "many.json"), Client())
    assert sent == {"processes": 11_000, "streams": 12_000, "blocks": 12_000}


def test_what_is_left_out_is_told_in_words(shell):
    """Samples have no place; spans, counters, instants and flows do."""
    others = [{"ph": phase, "pid": 1, "tid": 1, "ts": 2, "name": "x", "id": 4, "args": {"n": 1}} for phase in "CCisfRP"]
    span = {"ph": "X", "pid": 1, "tid": 1, "ts": 0, "dur": 10, "name": "launch", "args": {"Input Dims": [[8, 3]]}}
    (shell.folder / "all.json").write_text(json.dumps([span, *others]))
    assert run(shell, "import-chrome", str(shell.folder / "all.json"))[1] == [
        "Imported 1 span, 2 instants, 2 counter values.",
        "1 end of flows left out: no span of their thread begins after them, and they are not bound to the one around "
        "them (first: event 5, 'x').",
        "1 end of flows left out: their flow goes nowhere (first: event 4, 'x').",
        "1 sample event left out: only spans, instants, counters and flows are imported.",
    ]
