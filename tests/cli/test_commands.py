"""Each command does what its help says, against a server that the command line started."""

import csv
import io
import json
import re
import subprocess
from dataclasses import replace

import pyarrow as pa
import pytest

from flightsrv import telemetry
from flightsrv.client import connect
from tests.cli.conftest import FLIGHTSRV
from tests.model.trace_reader import read_trace

EVENTS = [
    {"ph": "M", "pid": 7, "name": "process_name", "args": {"name": "demo"}},
    {"ph": "M", "pid": 7, "tid": 8, "name": "thread_name", "args": {"name": "main"}},
    {"ph": "X", "pid": 7, "tid": 8, "name": "inner", "ts": 1.002, "dur": 0.5},
    {"ph": "X", "pid": 7, "tid": 8, "name": "outer", "ts": 1, "dur": 2.001},
    {"ph": "b", "pid": 9, "tid": 9, "name": "request", "cat": "net", "id": 1, "ts": 5},
    {"ph": "C", "pid": 9, "name": "memory", "ts": 5, "args": {"bytes": 5}},
    {"ph": "N", "pid": 9, "name": "object", "ts": 6},
]


@pytest.fixture
def imported(shell):
    """The ids of the two processes in the file above."""
    (shell.folder / "trace.json").write_text(json.dumps(EVENTS))
    return shell.lines("import-chrome", "trace.json")


def test_import_prints_the_process_ids_and_nothing_else_on_stdout(shell, imported):
    """One a line, in the order of the file; what else there is to say goes to stderr. Again, it is the same."""
    again = shell.run("import-chrome", "trace.json")
    assert again.stdout.splitlines() == imported
    assert len(set(imported)) == 2
    assert again.stderr.splitlines() == [
        "Imported 3 spans, 1 counter value.",
        "1 span without an end will show as unfinished.",
        "1 object event left out: only spans, instants, counters and flows are imported.",
    ]


def test_import_at_another_start_time_makes_other_processes(shell, imported):
    """The time that the file calls 0 can be given."""
    (moved, _) = shell.lines("import-chrome", "trace.json", "--start-time", "2026-01-01T10:00:00Z")
    assert moved not in imported
    statement = f"SELECT min(begin) AS begin FROM process_spans('{moved}', 'thread')"
    assert shell.lines("query", statement, "--format", "csv") == ["begin", "2026-01-01T10:00:00.000001000Z"]


def test_a_trace_goes_to_a_file_or_to_stdout(shell, imported):
    """The last line says where to drop the file, and nothing but the trace goes to a pipe."""
    lines = shell.lines("trace", imported[0], "-o", "demo.pftrace")
    assert lines[-1].startswith("Wrote demo.pftrace (")
    assert "https://ui.perfetto.dev" in lines[-1]
    trace = read_trace((shell.folder / "demo.pftrace").read_bytes())
    (track,) = trace.thread_tracks
    assert [(piece.begin_ns, piece.duration_ns, piece.depth, piece.name) for piece in track.slices] == [
        (1_000, 2_001, 0, "outer"),
        (1_002, 500, 1, "inner"),
    ]
    assert (track.process_id, track.thread_id, track.thread_name) == (7, 8, "main")
    assert "demo" in {each.process_name for each in trace.tracks.values()}

    shell.lines("trace", imported[0], "-o", "late.pftrace", "--begin", "1970-01-01T00:00:00.000002Z")
    (late,) = read_trace((shell.folder / "late.pftrace").read_bytes()).thread_tracks
    assert [piece.name for piece in late.slices] == ["outer"]


def test_several_processes_make_one_trace(shell, imported):
    """As arguments, or as the lines of one, which is what quotes around a command make of its output."""
    together = b"".join(
        subprocess.run(
            [FLIGHTSRV, "trace", each, "-o", "-", "--url", shell.url], capture_output=True, check=True
        ).stdout
        for each in imported
    )
    for arguments in (imported, ["\n".join(imported)], [f" {imported[0]} ", imported[1]]):
        lines = shell.lines("trace", *arguments, "-o", "both.pftrace")
        assert (shell.folder / "both.pftrace").read_bytes() == together
        assert lines[-1].startswith("Wrote both.pftrace (")
    piped = subprocess.run(
        [FLIGHTSRV, "trace", *imported, "-o", "-", "--url", shell.url], capture_output=True, check=True
    )
    assert (piped.stdout, piped.stderr) == (together, b"")


def test_a_process_with_its_children_is_one_trace(shell):
    """All below it, as if their ids were given; the first characters of its own are enough."""
    family = {"mother-1": None, "child-1": "mother-1", "child-2": "mother-1", "grandchild-1": "child-1"}
    processes = [telemetry.Process(each, 10**9, 0, 0, exe=each, parent_process_id=of) for each, of in family.items()]
    with connect(shell.url) as client:
        client.ingest("processes", telemetry.processes_batch(processes))
    shell.lines("trace", "mother", "--children", "-o", "family.pftrace")
    shell.lines("trace", *family, "-o", "each.pftrace")
    shell.lines("trace", "mother", "-o", "mother.pftrace")
    traces = [(shell.folder / f"{name}.pftrace").read_bytes() for name in ("family", "each", "mother")]
    assert traces[0] == traces[1] != traces[2]
    assert all(name.encode() in traces[0] for name in family)


def test_of_several_processes_one_that_is_unknown_fails_the_trace(shell, imported):
    """And leaves no file; so does no process at all."""
    done = shell.run("trace", imported[0], "nobody", "-o", "both.pftrace")
    assert (done.returncode, done.stderr) == (1, "Error: process 'nobody' is unknown\n")
    done = shell.run("trace", " \n", "-o", "both.pftrace")
    assert done.returncode == 2
    assert done.stderr.endswith("Error: no process id was given\n")
    assert not (shell.folder / "both.pftrace").exists()


def test_several_processes_without_spans_in_a_time_are_a_warning(shell, imported):
    """Which says when any of them has some."""
    done = shell.run("trace", *imported, "-o", "early.pftrace", "--end", "1970-01-01T00:00:00Z")
    assert (
        "the processes have data from 1970-01-01T00:00:00.000001000Z to 1970-01-01T00:00:00.000005000Z" in done.stderr
    )


def test_a_trace_into_a_folder_that_is_missing_is_refused(shell, imported):
    """The message names the folder."""
    done = shell.run("trace", imported[0], "-o", "missing/demo.pftrace")
    assert (done.returncode, done.stderr) == (1, f"Error: {shell.folder}/missing: no such folder\n")


def test_a_trace_to_stdout_is_the_same_bytes(shell, imported):
    """For pipes; text and progress stay away from it."""
    shell.lines("trace", imported[1], "-o", "demo.pftrace", "--span-types", "async", "--strict")
    command = [FLIGHTSRV, "trace", imported[1], "-o", "-", "--span-types", "async", "--url", shell.url]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stdout == (shell.folder / "demo.pftrace").read_bytes()
    assert piped.stderr == b""


def test_a_time_without_data_is_a_warning(shell, imported):
    """With one that has some. A process without any is empty whenever one looks."""
    done = shell.run("trace", imported[0], "-o", "late.pftrace", "--begin", "2026-01-01T10:00:00Z")
    assert done.returncode == 0
    assert re.search(
        r"Warning: there are no spans in this time; the process has data from 1970-01-01T\S+Z to ", done.stderr
    )
    assert shell.run("trace", imported[0], "-o", "whole.pftrace").stderr == ""
    assert (
        "begin must not be after end, given: begin 2026-01-01T10:00:00.000000000Z, end 2025-01-01T00:00:00.000000000Z"
        in shell.run(
            *("trace", imported[0], "-o", "-", "--begin", "2026-01-01T10:00:00Z", "--end", "2025-01-01T00:00:00Z")
        ).stderr
    )


def test_processes_lists_what_was_imported(shell, imported):
    """As a table for people, and in the other formats too."""
    table = shell.run("processes").stdout
    assert imported[0] in table
    assert "demo" in table
    rows = json.loads(shell.run("processes", "--format", "json").stdout)
    assert {row["process_id"]: row["properties"] for row in rows}[imported[0]] == {"pid": "7"}


QUERY = "SELECT 1 AS a, 'x, \"y\"' AS b, 'z' AS c UNION ALL SELECT 2, 'täler', NULL ORDER BY a"


def test_rows_in_every_format(shell):
    """The same rows, readable by the usual tools."""
    rows = [{"a": 1, "b": 'x, "y"', "c": "z"}, {"a": 2, "b": "täler", "c": None}]
    assert json.loads(shell.run("query", QUERY, "--format", "json").stdout) == rows
    text = shell.run("query", QUERY, "--format", "csv").stdout
    assert list(csv.reader(io.StringIO(text))) == [["a", "b", "c"], ["1", 'x, "y"', "z"], ["2", "täler", ""]]
    table = shell.lines("query", QUERY)
    assert [line.split() for line in table if "täler" in line] == [["│", "2", "│", "täler", "│", "│"]]


def test_rows_as_arrow(shell):
    """An IPC stream with the server's own types."""
    command = [FLIGHTSRV, "query", QUERY, "--format", "arrow", "--url", shell.url]
    stream = subprocess.run(command, capture_output=True, check=True).stdout
    assert pa.ipc.open_stream(stream).read_all().column("a").to_pylist() == [1, 2]


def test_no_rows_are_still_well_formed(shell):
    """Empty output would not be JSON."""
    assert shell.run("query", "SELECT 1 AS a WHERE false", "--format", "json").stdout == "[]\n"
    assert shell.run("query", "SELECT 1 AS a WHERE false", "--format", "csv").stdout == "a\n"


def test_a_query_takes_a_range(shell, imported):
    """--begin and --end limit what process_spans shows."""
    statement = f"SELECT name FROM process_spans('{imported[0]}', 'thread')"
    lines = shell.lines("query", statement, "--begin", "1970-01-01T00:00:00.000002Z", "--format", "csv")
    assert lines == ["name", "outer"]


def test_a_time_range_in_every_form(shell, imported):
    """Counted from now, in local time, with an offset; a process by the first characters of its id."""
    statement = f"SELECT name FROM process_spans('{imported[0]}', 'thread') ORDER BY name"
    for options in (
        ("--begin", "1970-01-01 02:00:00.000002", "--end", "1970-01-01T02:00:00.1+02:00"),
        ("--begin", "1970-01-01T00:00:00.000002Z", "--end", "now-1h"),
    ):
        done = shell.run("query", statement, "--format", "csv", *options, TZ="Africa/Maputo")
        assert done.stdout.splitlines() == ["name", "outer"], done.stderr
    for options in (("--last", "1h30m"), ("--begin", "-90min"), ("--begin", "now - 1h", "--end", "now")):
        assert shell.lines("query", statement, "--format", "csv", *options) == ["name"]
        shell.lines("trace", imported[0], "-o", "whole.pftrace", *options)
        shell.lines("trace", imported[0][:18], "-o", "short.pftrace", *options)
        names = ("whole.pftrace", "short.pftrace")
        whole, short = ((shell.folder / name).read_bytes() for name in names)
        assert whole == short


def test_options_come_from_the_environment(shell):
    """An option that is given wins."""
    assert shell.run("query", "SELECT 1 AS a", FLIGHTSRV_FORMAT="csv").stdout == "a\n1\n"
    elsewhere = replace(shell, url="grpc://127.0.0.1:1")
    assert elsewhere.run("query", "SELECT 1 AS a").returncode == 1
    assert elsewhere.run("query", "SELECT 1 AS a", "--url", shell.url).returncode == 0
