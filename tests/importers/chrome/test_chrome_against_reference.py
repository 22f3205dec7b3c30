"""Random Chrome traces mean the spans that a plain reading of the format says."""

import tempfile
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.importers.chrome.spans_of import async_spans, convert, microseconds, thread_spans

names = st.sampled_from(["a", "b", "täler", "名前", "", "f (x.py:3)"]) | st.text(max_size=5)
# Few different times make many ties; the far ones do not fit into a float with all their digits.
times = st.integers(0, 12) | st.integers(1_700_000_000_000_000_000, 1_700_000_000_000_000_012)
threads = st.fixed_dictionaries({"pid": st.sampled_from([1, 2, "p"]), "tid": st.sampled_from([1, 2, "main"])})
complete_events = st.builds(
    lambda thread, name, begin, duration: {"ph": "X", "name": name, "ts": begin, "dur": duration} | thread,
    threads,
    names,
    times,
    st.integers(0, 8),
)
marks = st.builds(
    lambda thread, phase, name, time: {"ph": phase, "name": name, "ts": time} | thread,
    threads,
    st.sampled_from("BE"),
    names,
    times,
)
async_marks = st.builds(
    lambda phase, name, time, pid, category, number: {
        "ph": phase,
        "name": name,
        "ts": time,
        "pid": pid,
        "cat": category,
        "id": number,
    },
    st.sampled_from("be"),
    names,
    times,
    st.sampled_from([1, 2]),
    st.sampled_from(["net", "disk"]),
    st.integers(1, 3),
)


def written(events):
    """The events as they stand in a file, times in microseconds."""
    return [event | {key: microseconds(event[key]) for key in ("ts", "dur") if key in event} for event in events]


def converted(events):
    """The telemetry that a file of these events becomes."""
    with tempfile.TemporaryDirectory() as directory:
        return convert(Path(directory), written(events))


def stored(name):
    """Text as it can be stored."""
    return name.replace("\0", "").encode("utf-8", "replace").decode()


def innermost(open_spans, name):
    """The place of the last open span that an end of this name fits, given the name of each; None if it fits none."""
    return next((place for place in reversed(range(len(open_spans))) if name in ("", open_spans[place])), None)


def expected_thread_spans(events):
    """(begin, end, name) of the spans of one thread; the end is None where there is none."""
    spans, open_spans = [], []
    for event in sorted(events, key=lambda event: event["ts"]):
        name = stored(event["name"])
        if event["ph"] == "X":
            spans.append((event["ts"], event["ts"] + event["dur"], name))
        elif event["ph"] == "B":
            open_spans.append((event["ts"], None, name))
        elif (place := innermost([each for _, _, each in open_spans], name)) is not None:
            spans += ((begin, event["ts"], each) for begin, _, each in open_spans[place:])
            del open_spans[place:]
    return spans + open_spans


def overlap_in_part(one, other):
    """Whether two spans share some time while each has some of its own."""
    (begin, end, _), (later_begin, later_end, _) = sorted([one, other], key=lambda span: span[0])
    end, later_end = (1 << 63 if time is None else time for time in (end, later_end))
    return begin < later_begin < end < later_end


@given(st.lists(complete_events | marks, max_size=30))
def test_every_span_comes_through_with_its_own_times(events):
    """No span is lost, doubled or cut, and further streams exist only where spans overlap in part."""
    by_thread = defaultdict(list)
    for event in events:
        by_thread[str(event["pid"]), f"thread {event['tid']}"].append(event)
    found, streams = defaultdict(Counter), Counter()
    for (pid, name), spans in thread_spans(converted(events)).items():
        thread = pid, name.partition(" (overlap")[0]
        found[thread].update((span.begin_ns, None if span.end_ns == -1 else span.end_ns, span.name) for span in spans)
        streams[thread] += 1
    expected_spans = {thread: expected_thread_spans(of_thread) for thread, of_thread in by_thread.items()}
    assert set(streams) == {thread for thread, expected in expected_spans.items() if expected}
    for thread, of_thread in by_thread.items():
        expected = expected_spans[thread]
        assert found[thread] == Counter(expected)
        overlapping = any(overlap_in_part(one, other) for one, other in combinations(expected, 2))
        has_complete = any(event["ph"] == "X" for event in of_thread)
        assert (streams[thread] > 1) == (overlapping and has_complete)


@given(st.lists(async_marks, max_size=30))
def test_every_async_span_comes_through_with_its_parent(events):
    """Ends close the innermost span of their process, category, id and name; the parent of a span is the innermost."""
    expected, open_spans = [], defaultdict(list)
    for event in sorted(events, key=lambda event: event["ts"]):
        stack = open_spans[event["pid"], event["cat"], event["id"]]
        if event["ph"] == "b":
            expected.append([str(event["pid"]), event["ts"], -1, stored(event["name"]), stack[-1] if stack else None])
            stack.append(len(expected) - 1)
        elif (place := innermost([expected[index][3] for index in stack], stored(event["name"]))) is not None:
            expected[stack.pop(place)][2] = event["ts"]

    found = async_spans(converted(events))
    identified = {span_id: (pid, span) for pid, span, span_id, _ in found}
    assert len(identified) == len(found)

    def expected_with_parent(index):
        *span, parent = expected[index]
        return *span, None if parent is None else expected_with_parent(parent)

    def with_parent(span_id):
        pid, span = identified[span_id]
        parent_id = next(parent for _, _, own, parent in found if own == span_id)
        parent = with_parent(parent_id) if parent_id else None
        return pid, span.begin_ns, span.end_ns, span.name, parent

    assert Counter(with_parent(span_id) for span_id in identified) == Counter(
        expected_with_parent(index) for index in range(len(expected))
    )


no_events = st.sampled_from([None, 5, "x", {"name": "x"}])


def made_odd(events):
    """Some of them with something that no such event should have, among elements that are no events."""
    odd_times = times | st.sampled_from([None, "12", "soon", -1, -(10**12), 1e300, True, [], "1e9999"])
    odd_values = st.sampled_from([{}, {}, {}, {"ph": "C"}, {"ph": "?"}, {"ph": None}, {"pid": None}, {"dur": -1}])
    odd = st.builds(lambda event, time, others: event | {"ts": time} | others, events, odd_times, odd_values)
    return st.lists(odd | no_events, max_size=30)


def findings_of(events):
    """What a user is told, and how many events were left out for what stands in them."""
    with tempfile.TemporaryDirectory() as directory:
        findings = convert(Path(directory), events).findings
    left_out = sum(left.count for left in findings.unusable.values()) + sum(findings.other_kinds.values())
    return findings, left_out


@given(made_odd(complete_events))
def test_every_complete_event_is_a_span_or_counted(events):
    """None is lost without a reason."""
    findings, left_out = findings_of(events)
    assert len(events) == findings.spans + left_out


@given(made_odd(marks | async_marks))
def test_every_begin_and_every_end_is_used_or_counted(events):
    """A span for each begin; an end for each span that has one of its own; the others have a reason each."""
    findings, left_out = findings_of(events)
    used_ends = findings.spans - findings.unfinished - findings.ended_early
    assert len(events) == findings.spans + used_ends + findings.unmatched_ends + left_out
