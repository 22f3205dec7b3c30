"""What single features of the Chrome format become."""

import gzip
import re
from pathlib import Path

import pytest

from flightsrv.importers.chrome import ChromeTraceError, read_chrome_trace
from tests.importers.chrome.spans_of import (
    Span,
    async_spans,
    convert,
    events_of,
    match_parentheses,
    microseconds,
    thread_spans,
)
from udtf.lake.block_format import MAX_PAYLOAD_BYTES, Scope


def complete(name: str, begin_ns: int, end_ns: int, **others: object) -> dict[str, object]:
    """An X event."""
    return {
        "ph": "X",
        "pid": 1,
        "tid": 2,
        "name": name,
        "ts": microseconds(begin_ns),
        "dur": microseconds(end_ns - begin_ns),
    } | others


def mark(phase: str, name: str, ns: int, **others: object) -> dict[str, object]:
    """An event of one moment."""
    return {"ph": phase, "pid": 1, "tid": 2, "name": name, "ts": microseconds(ns)} | others


def only_thread(trace) -> list[Span]:
    (spans,) = thread_spans(trace).values()
    return spans


def test_times_are_kept_to_the_nanosecond(tmp_path):
    """Sixteen digits of microseconds, more than a float holds, come through exactly."""
    trace = convert(tmp_path, [complete("a", 1234567890123_457, 1234567890123_459 + 10**15)])
    assert only_thread(trace) == [Span(1234567890123_457, 1234567890123_459 + 10**15, "a")]


def test_time_zero_of_the_file_is_the_epoch_unless_told_otherwise(tmp_path):
    """Ticks are the file's own nanoseconds, and the process's clock maps 0 to the time asked for."""
    events = [complete("a", 5_000, 6_000)]
    (process,) = convert(tmp_path, events).processes
    (moved,) = convert(tmp_path, events, time_zero_ns=7_000_000_000).processes
    assert process.start_time_ns - process.start_ticks == 0
    assert moved.start_time_ns - moved.start_ticks == 7_000_000_000
    assert process.tsc_frequency == 1_000_000_000
    assert process.process_id != moved.process_id


@pytest.mark.parametrize("others", [[], [complete("other", 200, 300)]])
def test_marks_of_equal_times_nest_as_they_are_written(tmp_path, others):
    """Whatever else is on the thread."""
    marks = [mark("B", "root", 0), mark("B", "leaf", 0), mark("E", "", 100), mark("E", "", 100)]
    leaf = next(span for span in only_thread(convert(tmp_path, marks + others)) if span.name == "leaf")
    assert leaf.ancestors == ("root",)


@pytest.mark.parametrize("tid", [7, "7", 7.0, "7\0\0"])
def test_one_id_may_be_written_in_several_ways(tmp_path, tid):
    """As a number, as text, padded."""
    trace = convert(tmp_path, [complete("a", 0, 1, tid=7), complete("b", 2, 3, tid=tid)])
    assert [span.name for span in only_thread(trace)] == ["a", "b"]


@pytest.mark.parametrize("tid", [[1], {"a": 1}, None, True, -1, 1 << 80, 1e300, float("nan"), "x" * 100_000])
def test_odd_ids_are_ids(tmp_path, tid):
    """Whatever stands for a thread, its spans come through."""
    trace = convert(tmp_path, [complete("a", 0, 1, tid=tid, pid=tid), complete("b", 2, 3, tid="other")])
    assert sorted(span.name for spans in thread_spans(trace).values() for span in spans) == ["a", "b"]


def test_text_that_is_none_is_replaced_in_ids(tmp_path):
    """JSON may hold halves of characters."""
    trace = convert(tmp_path, [complete("a", 0, 1, pid="\ud800", tid="\udfff")])
    assert [stream.properties["thread-id"] for stream in trace.streams] == ["?"]


def test_children_written_before_their_parents_nest(tmp_path):
    """Complete events stand in the order of their ends in many files."""
    trace = convert(tmp_path, [complete("leaf", 20, 30), complete("child", 10, 40), complete("root", 0, 100)])
    assert [(span.name, span.ancestors) for span in only_thread(trace)] == [
        ("root", ()),
        ("child", ("root",)),
        ("leaf", ("root", "child")),
    ]


def test_a_span_that_begins_where_another_ends_is_its_sibling(tmp_path):
    """Touching spans, one of no length among them, do not nest in each other but in what is still open."""
    trace = convert(
        tmp_path,
        [complete("root", 0, 100), complete("a", 0, 50), complete("instant", 50, 50), complete("b", 50, 100)],
    )
    assert [(span.name, span.ancestors) for span in only_thread(trace)] == [
        ("root", ()),
        ("a", ("root",)),
        ("b", ("root",)),
        ("instant", ("root", "b")),
    ]


def test_spans_that_overlap_in_part_go_to_a_further_stream(tmp_path):
    """No span is lost or cut, and the findings say how many moved."""
    trace = convert(tmp_path, [complete("a", 0, 50), complete("b", 20, 70), complete("c", 30, 40)])
    assert thread_spans(trace) == {
        ("1", "thread 2"): [Span(0, 50, "a"), Span(30, 40, "c", ("a",))],
        ("1", "thread 2 (overlap 2)"): [Span(20, 70, "b")],
    }
    assert trace.findings.overlapping == 1


def test_an_end_without_a_name_closes_what_was_opened_last(tmp_path):
    """An end without a begin is counted, a begin without an end stays open."""
    trace = convert(
        tmp_path, [mark("E", "", 1), mark("B", "a", 2), mark("B", "b", 3), mark("E", "", 4), mark("B", "c", 5)]
    )
    assert only_thread(trace) == [Span(2, -1, "a"), Span(3, 4, "b", ("a",)), Span(5, -1, "c", ("a",))]
    assert (trace.findings.spans, trace.findings.unfinished, trace.findings.unmatched_ends) == (3, 2, 1)


def test_an_end_with_a_name_closes_the_span_of_that_name_and_what_is_open_inside(tmp_path):
    """As Perfetto has it: a lost end costs its own span a part of its length, and no other span anything."""
    requests = [
        mark(phase, name, ns)
        for start in (0, 10_000)
        for phase, name, ns in (("B", "request", start), ("B", "query", start + 1_000), ("E", "request", start + 5_000))
    ]
    trace = convert(tmp_path, requests)
    assert only_thread(trace) == [
        Span(0, 5_000, "request"),
        Span(1_000, 5_000, "query", ("request",)),
        Span(10_000, 15_000, "request"),
        Span(11_000, 15_000, "query", ("request",)),
    ]
    assert trace.findings.ended_early == 2


@pytest.mark.parametrize(
    "stray", [mark("E", "other", 15), mark("E", "", 15, cat="other"), mark("E", "outer", 15, cat="other")]
)
def test_an_end_that_fits_no_open_span_closes_nothing(tmp_path, stray):
    """By its name or by its category. It is counted."""
    events = [mark("B", "outer", 0, cat="c"), mark("B", "inner", 10), stray, mark("E", "inner", 20), mark("E", "", 30)]
    trace = convert(tmp_path, events)
    assert only_thread(trace) == [Span(0, 30, "outer"), Span(10, 20, "inner", ("outer",))]
    assert trace.findings.unmatched_ends == 1


def test_equal_times_of_begins_and_ends_keep_the_order_of_the_file(tmp_path):
    """A child without length at the end of its parent stays a child."""
    trace = convert(tmp_path, [mark("B", "a", 1), mark("B", "b", 9), mark("E", "b", 9), mark("E", "a", 9)])
    assert only_thread(trace) == [Span(1, 9, "a"), Span(9, 9, "b", ("a",))]


def test_complete_events_nest_in_pairs(tmp_path):
    """Both ways of writing a span may be mixed in one thread."""
    trace = convert(
        tmp_path, [mark("B", "pair", 0), complete("whole", 10, 20), mark("E", "", 50), complete("open", 60, 60)]
    )
    assert only_thread(trace) == [Span(0, 50, "pair"), Span(10, 20, "whole", ("pair",)), Span(60, 60, "open")]


def test_a_complete_event_without_duration_is_unfinished(tmp_path):
    """No end is invented."""
    event = complete("a", 5, 6)
    del event["dur"]
    trace = convert(tmp_path, [event, complete("b", 7, 8)])
    assert only_thread(trace) == [Span(5, -1, "a"), Span(7, 8, "b", ("a",))]


def test_async_spans_nest_by_id(tmp_path):
    """Spans of one category and id are parent and child; those of others just overlap."""
    trace = convert(
        tmp_path,
        [
            mark("b", "outer", 0, cat="net", id="0x1"),
            mark("b", "other", 5, cat="net", id="0x2"),
            mark("b", "inner", 10, cat="net", id="0x1"),
            mark("b", "disk", 11, cat="disk", id="0x1"),
            mark("n", "note", 12, cat="net", id="0x1"),
            mark("e", "inner", 20, cat="net", id="0x1"),
            mark("e", "other", 25, cat="net", id="0x2"),
            mark("e", "outer", 30, cat="net", id="0x1"),
            mark("e", "lost", 40, cat="net", id="0x3"),
        ],
    )
    assert async_spans(trace) == [
        ("1", Span(0, 30, "outer"), 1, 0),
        ("1", Span(5, 25, "other"), 2, 0),
        ("1", Span(10, 20, "inner"), 3, 1),
        ("1", Span(11, -1, "disk"), 4, 0),
    ]
    assert trace.findings.unmatched_ends == 1
    assert trace.findings.instants == 1


def test_an_async_end_closes_the_span_of_its_name(tmp_path):
    """Spans that share an id may overlap; each keeps its own begin and end, and what was opened later stays open."""
    marks = [("b", "page", 0), ("b", "load", 0), ("b", "paint", 10), ("e", "load", 30), ("e", "paint", 40)]
    events = [mark(phase, name, ns, cat="promise", id="7") for phase, name, ns in marks]
    ends = [mark("e", "lost", 45, cat="promise", id="7"), mark("e", "", 50, cat="promise", id="7")]
    trace = convert(tmp_path, events + ends)
    assert [span for _, span, _, _ in async_spans(trace)] == [
        Span(0, 50, "page"),
        Span(0, 30, "load"),
        Span(10, 40, "paint"),
    ]
    assert trace.findings.unmatched_ends == 1


def test_the_same_async_id_in_two_processes_means_two_spans_unless_global(tmp_path):
    """A global id may even begin in one process and end in another."""
    trace = convert(
        tmp_path,
        [
            mark("b", "local", 0, id=1, pid=1),
            mark("b", "local", 1, id2={"local": 1}, pid=2),
            mark("e", "local", 2, id=1, pid=2),
            mark("b", "shared", 3, id2={"global": 1}, pid=1),
            mark("e", "shared", 4, id2={"global": 1}, pid=2),
        ],
    )
    assert async_spans(trace) == [
        ("1", Span(0, -1, "local"), 1, 0),
        ("1", Span(3, 4, "shared"), 3, 0),
        ("2", Span(1, 2, "local"), 2, 0),
    ]


def test_old_async_events_match_by_name(tmp_path):
    """S and F, from before async spans could nest."""
    trace = convert(
        tmp_path,
        [mark("S", "a", 0, id=1), mark("S", "b", 1, id=1), mark("F", "a", 2, id=1), mark("F", "b", 3, id=1)],
    )
    assert [span for _, span, _, _ in async_spans(trace)] == [Span(0, 2, "a"), Span(1, 3, "b")]


def test_metadata_names_processes_and_threads(tmp_path):
    """Ids may be numbers or text, and names may stand anywhere in the file."""
    trace = convert(
        tmp_path,
        [
            complete("a", 0, 1, pid="server", tid="main"),
            {"ph": "M", "pid": "server", "name": "process_name", "args": {"name": "httpd"}},
            {"ph": "M", "pid": "server", "name": "process_labels", "args": {"labels": "blue"}},
            {"ph": "M", "pid": "server", "tid": "main", "name": "thread_name", "args": {"name": "listener"}},
        ],
    )
    (process,) = trace.processes
    (stream,) = trace.streams
    assert process.exe == "httpd"
    assert process.properties == {"pid": "server", "labels": "blue"}
    assert stream.properties == {"thread-name": "listener", "thread-id": "main"}


def test_scopes_hold_category_and_place_in_the_source(tmp_path):
    """From arguments, or from names as viztracer writes them, which stay as they are."""
    trace = convert(
        tmp_path,
        [
            complete("f (lib/x.py:12)", 0, 1, cat="fee"),
            complete("g", 2, 3, args={"file": "y.cc", "line": 7, "size": 1}),
            complete("h \ud800", 4, 5, args={"size": 1}),
        ],
    )
    (stream,) = trace.streams
    scopes = [tuple(event[2]) for event in events_of(trace, stream.stream_id)[::2]]
    assert scopes == [("f (lib/x.py:12)", "fee", "lib/x.py", 12), ("g", "", "y.cc", 7), ("h ?", "", "", 0)]
    assert trace.findings.describe() == ["Imported 3 spans.", "1 name changed: not text throughout, or too long."]


def test_objects_arrays_and_unclosed_arrays_mean_the_same(tmp_path):
    """With or without gzip; and what identifies a process is the content, not how it is wrapped."""
    event = '{"ph": "X", "pid": 1, "tid": 2, "name": "a", "ts": 1.5, "dur": 1}'
    contents = {
        "object.json": f'{{"displayTimeUnit": "ns", "traceEvents": [{event}]}}'.encode(),
        "array.json": f"[{event}]".encode(),
        "unclosed.json": f"\n[{event},\n".encode(),
        "empty-tail.json": f"[{event},{{}}]".encode(),
        "bom.json": b"\xef\xbb\xbf" + f"[{event}]".encode(),
        "array.json.gz": gzip.compress(f"[{event}]".encode()),
    }
    ids = {}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        trace = read_chrome_trace(path)
        assert only_thread(trace) == [Span(1500, 2500, "a")], name
        ids[name] = trace.processes[0].process_id
    assert ids["array.json"] == ids["array.json.gz"] != ids["object.json"]


def test_ids_depend_on_the_content_alone(tmp_path):
    """Importing a file twice means the same processes, streams and blocks."""
    events = [complete("a", 0, 1), mark("b", "x", 2, id=1)]
    first, again = convert(tmp_path, events), convert(tmp_path, events)
    assert (first.processes, first.streams) == (again.processes, again.streams)
    assert list(first.blocks()) == list(again.blocks())
    other = convert(tmp_path, [*events, complete("b", 3, 4)])
    assert not {block.block_id for block in first.blocks()} & {block.block_id for block in other.blocks()}


_NO_NUMBER = "'ts' is no number of microseconds"
_TOO_FAR = "its time is a day or more before, or 146 years or more after, what the file calls 0"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ('{"ph": "B", "name": "odd"}', _NO_NUMBER),
        ('{"ph": "E", "ts": "soon", "name": "odd"}', _NO_NUMBER),
        ('{"ph": "b", "ts": true, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": NaN, "dur": 1, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": -Infinity, "dur": 1, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": "NaN", "dur": 1, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": inf, "dur": 1, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": 0x10, "dur": 1, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": [1], "dur": 1, "name": "odd"}', _NO_NUMBER),
        ('{"ph": "X", "ts": 1e300, "dur": 1, "name": "odd"}', _TOO_FAR),
        ('{"ph": "X", "ts": 1e999999, "dur": 1, "name": "odd"}', _TOO_FAR),
        ('{"ph": "X", "ts": "1e999999999999999999999", "dur": 1, "name": "odd"}', _NO_NUMBER),
        (f'{{"ph": "X", "ts": {"9" * 5000}, "dur": 1, "name": "odd"}}', _NO_NUMBER),
        ('{"ph": "X", "ts": -86400000000, "dur": 1, "name": "odd"}', _TOO_FAR),
        ('{"ph": "X", "ts": 1, "dur": null, "name": "odd"}', "'dur' is no number of microseconds"),
        ('{"ph": "X", "ts": 1, "dur": -1, "name": "odd"}', "its duration, 'dur', is below 0"),
        ('{"ph": "X", "ts": 1, "dur": -0.001, "name": "odd"}', "its duration, 'dur', is below 0"),
        ('{"ph": "X", "ts": 1, "dur": 9223372036854775.807, "name": "odd"}', _TOO_FAR),
        ('{"name": "odd"}', "it is no object with a phase, 'ph'"),
        ('{"ph": 7, "name": "odd"}', "it is no object with a phase, 'ph'"),
        ('"odd"', "it is no object with a phase, 'ph'"),
    ],
)
def test_an_event_that_cannot_be_used_is_left_out_and_told(tmp_path, event, reason):
    """The others are imported; the message says why, and names the first."""
    path = tmp_path / "trace.json"
    fine = '{"ph": "X", "pid": 1, "tid": 2, "name": "fine", "ts": 5, "dur": 2}'
    path.write_text(f"[{fine}, {event}, {event}]")
    trace = read_chrome_trace(path)
    assert only_thread(trace) == [Span(5_000, 7_000, "fine")]
    assert trace.findings.describe() == [
        "Imported 1 span.",
        f"2 events left out: {reason} (first: event 1, 'odd').",
    ]


def test_every_kind_of_event_that_is_no_span_is_told_in_words(tmp_path):
    """With its number; names of threads and the like are used, or of no use, and not told."""
    phases = "iIRnTpstfPNODvVc()Q"
    trace = convert(tmp_path, [complete("a", 0, 1), *(mark(phase, "x", 1, id=1) for phase in phases)])
    assert trace.findings.describe() == [
        "Imported 1 span, 4 instants, 1 link.",
        "1 end of flows left out: no span of their thread begins after them, and they are not bound to the one around "
        "them (first: event 9, 'x').",
        "2 async step events left out: only spans, instants, counters and flows are imported.",
        "1 clock event left out: only spans, instants, counters and flows are imported.",
        "2 context events left out: only spans, instants, counters and flows are imported.",
        "2 memory dump events left out: only spans, instants, counters and flows are imported.",
        "3 object events left out: only spans, instants, counters and flows are imported.",
        "1 sample event left out: only spans, instants, counters and flows are imported.",
        "1 unknown ('Q') event left out: only spans, instants, counters and flows are imported.",
    ]


def test_times_below_zero_move_the_zero(tmp_path):
    """Traces have no time before 1970: everything is later by as much, which is told. A time zero that is given or said
    to be later leaves room for them."""
    events = [complete("launch", -613_000_000, 0), complete("compile", 5, 6)]
    trace = convert(tmp_path, events)
    assert only_thread(trace) == [Span(-613_000_000, 0, "launch"), Span(5, 6, "compile")]
    assert (trace.time_zero_ns, trace.processes[0].start_time_ns) == (613_000_000, 0)
    assert trace.findings.describe()[1] == (
        "Time begins 0.613 s before the file's own 0, where its first event is: all times are later by as much."
    )
    for said in (
        convert(tmp_path, events, time_zero_ns=10**18),
        convert(tmp_path, {"traceEvents": events, "baseTimeNanoseconds": 10**18}),
    ):
        assert (said.time_zero_ns, said.findings.moved_ns) == (10**18, 0)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "said",
    [
        {"baseTimeNanoseconds": 1718000000000000000},
        {"viztracer_metadata": {"baseTimeNanoseconds": 1718000000000000000}},
    ],
)
def test_a_file_may_say_when_its_time_begins(tmp_path, said, order):
    """As PyTorch and viztracer do, before the events or behind them; who imports it may know better."""
    document = dict([("traceEvents", [complete("aten::mm", 5_250, 7_750)]), *said.items()][::order])
    (process,) = convert(tmp_path, document).processes
    assert (process.start_time_ns, process.start_ticks) == (1718000000000005250, 5_250)
    assert convert(tmp_path, document, time_zero_ns=0).time_zero_ns == 0


@pytest.mark.parametrize("said", ["yesterday", -1, 1.5, 1 << 62, True, [], {}])
def test_a_base_time_that_is_none_is_told(tmp_path, said):
    """The events are there, from 1970 on."""
    trace = convert(tmp_path, {"baseTimeNanoseconds": said, "traceEvents": [complete("a", 0, 1)]})
    assert trace.time_zero_ns == 0
    assert trace.findings.describe()[1].startswith("The file's base time is no number of nanoseconds since 1970: ")


def test_a_time_zero_that_leaves_no_room_is_refused(tmp_path):
    """Times end in 2262."""
    with pytest.raises(ChromeTraceError, match="times in the file lie before the year 1678 or after 2262"):
        convert(tmp_path, [complete("a", 0, 10**18)], time_zero_ns=(1 << 63) - 10**18)


def test_names_alone_make_nothing(tmp_path):
    """A process of which only the name is known, and a thread that did nothing, are not shown; process 0 is one."""
    names = [
        {"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": "python"}} for pid in (4100, 0, 1)
    ]
    unused = {"ph": "M", "pid": 0, "tid": 8, "name": "thread_name", "args": {"name": "unused"}}
    trace = convert(tmp_path, [*names, unused, complete("add", 0, 20, pid=4100), complete("kernel", 6, 9, pid=0)])
    assert [(process.properties["pid"], process.exe) for process in trace.processes] == [
        ("4100", "python"),
        ("0", "python"),
    ]
    assert set(thread_spans(trace)) == {("4100", "thread 2"), ("0", "thread 2")}


def test_text_is_made_fit_to_be_stored(tmp_path):
    """Names that are padded with NUL lose that, names of any length are shortened; it is told."""
    events = [
        {"ph": "M", "pid": 1, "tid": 2, "name": "thread_name", "args": {"name": "worker\0\0"}},
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "server\0"}},
        {"ph": "M", "pid": 1, "name": "process_labels", "args": {"labels": "blue\0"}},
        complete("fine\0", 0, 1, cat="c\0", args={"file": "x.py\0"}),
        complete("long" * 10_000, 2, 3),
    ]
    trace = convert(tmp_path, events)
    assert (trace.processes[0].exe, trace.processes[0].properties) == ("server", {"pid": "1", "labels": "blue"})
    assert trace.streams[0].properties == {"thread-name": "worker", "thread-id": "2"}
    scopes = [event[2] for event in events_of(trace, trace.streams[0].stream_id)[::2]]
    assert scopes[0] == Scope("fine", "c", "x.py", 0)
    assert scopes[1].name == ("long" * 10_000)[: (1 << 14) - 1] + "…"
    assert "7 names changed: not text throughout, or too long." in trace.findings.describe()


def test_many_long_names_have_room_in_their_blocks(tmp_path):
    """A block takes so many events, and so many bytes."""
    names = [f"{number:05}" * 3_000 for number in range(4_000)]
    trace = convert(tmp_path, [complete(name, number, number) for number, name in enumerate(names)])
    blocks = list(trace.blocks())
    assert len(blocks) > 1
    decoded = [block.events for block in blocks]
    assert sum(len(events) for events in decoded) == 8_000
    assert all(events.scope_table.nbytes < MAX_PAYLOAD_BYTES for events in decoded)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is not JSON: it begins with neither [ nor {"),
        (b"\0" * 1000, "the file is not JSON: it begins with neither [ nor {"),
        (b"<html>", "the file is not JSON: it begins with neither [ nor {"),
        (b"\xff\xfe", "the file is not JSON: it begins with neither [ nor {"),
        (b"{}", "the file holds no list of events"),
        (b'{"traceEvents": {}}', "the file holds no list of events"),
        (b'{"traceEvents": ', "the file is not JSON: it ends before its list of events"),
        (b'{"a": {"b": ', "the file is not JSON: it ends before its list of events"),
        (b"{1: 2}", "the file is not JSON: it ends before its list of events"),
        (b'[{"ph": "X", ', "the file is not JSON: it ends in the middle"),
        (b"[" * 100_000, "the file is not JSON: a list in the list of events"),
        (b"\x1f\x8b\x08\x00", "the file is not whole gzip data"),
        (gzip.compress(b"[{}]", mtime=0)[:11], "the file is not whole gzip data"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    """Whatever else a file holds, the error says why it is not taken."""
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with pytest.raises(ChromeTraceError, match=re.escape(reason)):
        read_chrome_trace(path)


def test_long_streams_are_cut_into_blocks_that_follow_each_other(tmp_path):
    """Blocks of one stream are contiguous, and together they hold all events."""
    trace = convert(tmp_path, [complete(f"n{i % 7}", 10 * i, 10 * i + 9) for i in range(70_000)])
    (stream,) = trace.streams
    blocks = list(trace.blocks())
    assert len(blocks) > 1
    spans = match_parentheses(events_of(trace, stream.stream_id))
    assert [span.begin_ns for span in spans] == [10 * i for i in range(70_000)]


def test_a_file_without_spans_is_an_empty_trace(tmp_path):
    """A counter without values makes no process; nor does an end alone."""
    trace = convert(tmp_path, [mark("C", "memory", 1), mark("E", "", 1), None, 5, {}])
    assert (trace.processes, trace.streams, list(trace.blocks())) == ((), (), [])
    assert trace.findings.describe() == [
        "Imported 0 spans.",
        "1 end without a begin left out.",
        "1 event left out: it is a counter without values, 'args' (first: event 0, 'memory').",
        "2 events left out: it is no object with a phase, 'ph' (first: event 2).",
    ]


def test_a_file_that_is_missing_is_an_error_of_the_system(tmp_path: Path):
    """Nothing is made up."""
    with pytest.raises(FileNotFoundError):
        read_chrome_trace(tmp_path / "missing.json")
