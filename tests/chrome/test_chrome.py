"""What single features of the Chrome format become."""

import gzip
from pathlib import Path

import pytest

from flightsrv.chrome import ChromeTraceError, read_chrome_trace
from tests.chrome.spans_of import Span, async_spans, convert, events_of, match_parentheses, microseconds, thread_spans


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


def test_an_end_closes_what_was_opened_last(tmp_path):
    """Whatever its name; an end without a begin is counted, a begin without an end stays open."""
    trace = convert(
        tmp_path, [mark("E", "", 1), mark("B", "a", 2), mark("B", "b", 3), mark("E", "a", 4), mark("B", "c", 5)]
    )
    assert only_thread(trace) == [Span(2, -1, "a"), Span(3, 4, "b", ("a",)), Span(5, -1, "c", ("a",))]
    assert (trace.findings.spans, trace.findings.unfinished, trace.findings.unmatched_ends) == (3, 2, 1)


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
    assert trace.findings.ignored == {"n": 1}


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
    assert trace.findings.with_arguments == 2


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


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ('{"ph": "X", "ts": -1, "dur": 1}', "event 0 (phase X): 'ts' must not be negative, given: -1"),
        ('{"ph": "X", "ts": 1, "dur": -1}', "event 0 (phase X): 'dur' must not be negative, given: -1"),
        ('{"ph": "B"}', "event 0 (phase B): 'ts' must be a number of microseconds, given: None"),
        ('{"ph": "E", "ts": "soon"}', "event 0 (phase E): 'ts' must be a number of microseconds, given: 'soon'"),
        ('{"ph": "b", "ts": true}', "event 0 (phase b): 'ts' must be a number of microseconds, given: True"),
        ('{"ph": "X", "ts": 1e300}', "event 0 (phase X): a time of 1E+300 microseconds does not fit"),
        ('{"ph": "X", "ts": NaN}', "the file is not JSON: NaN is not a number"),
        ('{"ph": "X", ', "the file is not JSON"),
    ],
)
def test_times_without_meaning_are_refused(tmp_path, event, reason):
    """The message names the event and what is wrong with it."""
    path = tmp_path / "trace.json"
    path.write_text(f"[{event}]")
    with pytest.raises(ChromeTraceError) as caught:
        read_chrome_trace(path)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is not JSON"),
        (b"{}", "the file holds no list of events"),
        (b"[" * 100_000, "the file is not JSON"),
        (b"\xff\xfe", "the file is not UTF-8 text (byte 0)"),
        (b"\x1f\x8b\x08\x00", "the file is not whole gzip data"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    """Whatever else a file holds, the error says why it is not taken."""
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with pytest.raises(ChromeTraceError, match=reason.replace("(", r"\(").replace(")", r"\)")):
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
    """Counters and the like make no process."""
    trace = convert(tmp_path, [mark("C", "memory", 1), None, 5])
    assert (trace.processes, trace.streams, list(trace.blocks())) == ((), (), [])
    assert trace.findings.ignored == {"C": 1, "None": 2}


def test_a_file_that_is_missing_is_an_error_of_the_system(tmp_path: Path):
    """Nothing is made up."""
    with pytest.raises(FileNotFoundError):
        read_chrome_trace(tmp_path / "missing.json")
