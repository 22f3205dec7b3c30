"""Flows of a file become links, and the trace that comes out has the arrows that Perfetto finds in the file itself."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from flightsrv.importers.chrome import ChromeTrace, read_chrome_trace
from tests.gateway.browser import Browse, browse
from tests.importers.chrome.spans_of import ingest
from tests.model.lake import Reader
from tests.model.strategies import ALL_TIME
from tests.support.trace_processor import LoadedTrace, TraceProcessor
from udtf.lake.lake import Lake

__all__ = ["browse"]

Event = dict[str, Any]
Arrow = tuple[tuple[object, ...], tuple[object, ...]]
"""Time, name and thread of two slices, that which begins earlier first: so Perfetto draws them."""

_SLICES = """
    SELECT slice.id, slice.parent_id, slice.ts, slice.name, thread.tid
    FROM slice LEFT JOIN thread_track ON thread_track.id = slice.track_id LEFT JOIN thread USING (utid)
"""


def arrows(loaded: LoadedTrace, *, from_instants: bool) -> Counter[Arrow]:
    """The slices that flows join; those around the instants at which flows begin and end, if they have some."""
    flows = [(row["slice_out"], row["slice_in"]) for row in loaded.query("SELECT slice_out, slice_in FROM flow")]
    slices = {row["id"]: row for row in loaded.query(_SLICES)}
    instants = {end for flow in flows for end in flow} if from_instants else set()

    def place(slice_id: object) -> tuple[object, ...]:
        ts = slices[slice_id]["ts"]
        while slice_id in instants:
            slice_id = slices[slice_id]["parent_id"]
        return tuple(slices[slice_id].values())[2:] if slice_id is not None else (ts, None, None)

    ends = (sorted((place(out), place(into)), key=lambda each: each[0]) for out, into in flows)  # type: ignore[arg-type, return-value]
    return Counter((first, second) for first, second in ends)


def imported(lake: Lake, path: Path, events: Any) -> tuple[ChromeTrace, bytes]:
    """What a file of these events is imported as, and the trace of it."""
    path.write_text(json.dumps(events))
    chrome = read_chrome_trace(path)
    return chrome, Reader.of(lake).trace_bytes(",".join(ingest(lake, chrome)), "all", ALL_TIME)


@dataclass(frozen=True)
class Moment:
    """A time at which flows may have an event; Perfetto takes the slice around it only if it is no complete one that
    has just ended."""

    us: float
    thread: Event
    is_inside: bool


def threads(dice: random.Random) -> tuple[list[Event], list[Moment]]:
    """Slices that nest, of threads of two processes, no two of which begin or end at one time; and moments between."""
    events: list[Event] = []
    moments: list[Moment] = []
    for number in range(dice.randint(2, 4)):
        thread = {"pid": 1 + number % 2, "tid": 10 + number}
        open_slices: list[Event] = []
        is_of_complete = False
        for ts in range(number + 10, number + 10 + 10 * dice.randint(1, 14), 10):
            moments += [] if is_of_complete else [Moment(ts - 4.5, thread, bool(open_slices))]
            if open_slices and dice.random() < 0.5:
                ended = open_slices.pop()
                is_of_complete = ended["ph"] == "X"
                if is_of_complete:
                    ended["dur"] = ts - ended["ts"]
                else:
                    events.append({**ended, "ph": "E", "ts": ts})
            else:
                begun = {**thread, "ph": dice.choice("XB"), "ts": ts, "name": f"n{dice.randrange(4)}", "dur": 1000}
                is_of_complete = False
                open_slices.append(begun)
                events.append(begun)
        # What is in no complete slice may stay open.
        while any(event["ph"] == "X" for event in open_slices):
            ended, ts = open_slices.pop(), 2000 - 10 * len(open_slices) + number
            if ended["ph"] == "X":
                ended["dur"] = ts - ended["ts"]
            else:
                events.append({**ended, "ph": "E", "ts": ts})
    return events, sorted(moments, key=lambda moment: moment.us)


def flows(dice: random.Random, moments: list[Moment]) -> Iterator[Event]:
    """Chains of flow events, some without a start, some that go nowhere, some with two starts or two ends."""
    for number in range(dice.randint(0, 12)):
        chosen = sorted(dice.sample(moments, min(len(moments), dice.randint(1, 5))), key=lambda moment: moment.us)
        phases = ["s"] * (1 if dice.random() < 0.8 else 2) + ["t"] * dice.randrange(3) + ["f"] * dice.randint(1, 2)
        common = {"name": f"flow {number % 2}", "cat": "c", "id": dice.choice([number, f"0x{number:x}"])}
        is_begun = False
        for phase, moment in zip(phases[dice.random() < 0.1 :], chosen, strict=False):
            is_begun |= phase == "s" and moment.is_inside
            event = {**common, **moment.thread, "ph": phase, "ts": moment.us}
            # What follows no start Perfetto would bind to a slice that has nothing to do with it.
            yield event | ({"bp": "e"} if phase == "f" and (not is_begun or dice.random() < 0.5) else {})


def bind(dice: random.Random, events: list[Event]) -> None:
    """Have some slices be of flows, none of which starts again after its end: Perfetto takes it for the same flow."""
    ended: set[int] = set()
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["ph"] in "XB" and dice.random() < 0.4:
            number = (1 << 40) + dice.randrange(3)
            is_end, is_start = dice.choice([(False, False), (True, False), (number in ended, True), (True, True)])
            event |= {"bind_id": hex(number)} | ({"flow_in": True} if is_end else {})
            event |= {"flow_out": True} if is_start else {}
            if is_end and not is_start:
                ended.add(number)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 1 << 32).map(random.Random))
def test_flows_are_what_perfetto_reads(
    lake: Lake, tmp_path: Path, trace_processor: TraceProcessor, dice: random.Random
) -> None:
    """Random slices and flows, in no order of time."""
    events, moments = threads(dice)
    events += flows(dice, moments)
    bind(dice, events)
    dice.shuffle(events)
    if not any(event["ph"] in "XB" for event in events):
        return
    path = tmp_path / "trace.json"
    chrome, data = imported(lake, path, events)
    expected = arrows(trace_processor.load(path.read_bytes()), from_instants=False)
    loaded = trace_processor.load(data)
    assert loaded.errors() == []
    assert arrows(loaded, from_instants=True) == expected
    assert chrome.findings.links == sum(expected.values())


_PAGE = """
<script>
    let left = 3;
    const timer = setInterval(() => {
        fetch('data:text/plain,x').then((response) => response.text());
        document.body.append('x');
        if (--left === 0) { clearInterval(timer); document.title = 'done'; }
    }, 20);
</script>
"""


@pytest.mark.browser
def test_flows_of_chromium_are_what_perfetto_reads(
    lake: Lake, tmp_path: Path, trace_processor: TraceProcessor, browse: Browse
) -> None:
    """Tasks that its processes and threads post to each other, hundreds of them, among them from instants within no
    span; none is made up. Samples are left out, and told."""
    path = tmp_path / "trace.json"
    categories = ["toplevel", "toplevel.flow", "disabled-by-default-v8.cpu_profiler"]

    def steps(page: Page) -> None:
        browser = page.context.browser
        assert browser is not None
        browser.start_tracing(path=path, categories=categories)
        page.set_content(_PAGE)
        page.wait_for_function("() => document.title === 'done'")
        browser.stop_tracing()

    browse(steps)
    chrome = read_chrome_trace(path)
    assert chrome.findings.other_kinds.keys() == {"sample"}
    data = Reader.of(lake).trace_bytes(",".join(ingest(lake, chrome)), "all", ALL_TIME)
    expected = arrows(trace_processor.load(path.read_bytes()), from_instants=False)
    loaded = trace_processor.load(data)
    assert loaded.errors() == []
    found = arrows(loaded, from_instants=True)
    assert sum(expected.values()) > 100
    assert not found - expected
    # It draws some from a span that is over, as the one just before them.
    assert sum((expected - found).values()) <= sum(expected.values()) // 50


def test_flows_that_perfetto_reads_otherwise(lake: Lake, tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """An id that is used again after the end of its flow; a time in a span after one inside of it; the very end of a
    span; of spans that overlap that which began last."""
    thread = {"pid": 1, "tid": 1}
    events = [
        {"ph": "X", **thread, "ts": 10, "dur": 30, "name": "a"},
        {"ph": "X", **thread, "ts": 11, "dur": 2, "name": "in a"},
        {"ph": "s", **thread, "ts": 20, "name": "f", "id": 1},
        {"ph": "X", "pid": 1, "tid": 2, "ts": 21, "dur": 9, "name": "b"},
        {"ph": "f", "pid": 1, "tid": 2, "ts": 30, "name": "f", "id": 1, "bp": "e"},
        {"ph": "X", **thread, "ts": 35, "dur": 50, "name": "over a"},
        {"ph": "s", **thread, "ts": 36, "name": "f", "id": 1},
        {"ph": "f", "pid": 1, "tid": 2, "ts": 31, "name": "g", "id": 2},
        {"ph": "s", "pid": 1, "tid": 2, "ts": 21, "name": "g", "id": 2},
        {"ph": "X", "pid": 1, "tid": 2, "ts": 40, "dur": 9, "name": "c"},
        {"ph": "f", "pid": 1, "tid": 2, "ts": 41, "name": "f", "id": 1, "bp": "e"},
    ]
    _, data = imported(lake, tmp_path / "trace.json", events)
    shown = arrows(trace_processor.load(data), from_instants=True)
    assert {(out[:2], into[:2]) for out, into in shown} == {
        ((10_000, "a"), (21_000, "b")),
        ((35_000, "over a"), (40_000, "c")),
        ((21_000, "b"), (40_000, "c")),
    }


def test_async_spans_and_ends_have_flows(lake: Lake, tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """By the ids of their spans; an instant has that of the span around it, an end its own. What two processes know by
    one id is of that in which it began."""
    binding = {"cat": "c", "pid": 1, "tid": 1}
    task = {**binding, "id2": {"global": "0x1"}, "name": "task"}
    events = [
        {"ph": "X", **binding, "ts": 10, "dur": 2, "name": "submit", "bind_id": "0x100000000", "flow_out": True},
        {"ph": "b", **task, "ts": 20, "bind_id": "0x100000000", "flow_in": True},
        {"ph": "n", **task, "ts": 23, "name": "note", "bind_id": "0x200000000", "flow_out": True},
        {"ph": "B", **binding, "ts": 21, "name": "work"},
        {"ph": "E", **binding, "ts": 25, "bind_id": "0x200000000", "flow_in": True, "flow_out": True},
        {"ph": "e", **task, "pid": 7, "ts": 30, "bind_id": "0x200000000", "flow_in": True},
        {"ph": "n", **task, "ts": 31, "bind_id": "0x200000000", "flow_in": True},
    ]
    chrome, data = imported(lake, tmp_path / "trace.json", events)
    assert chrome.findings.describe() == [
        "Imported 3 spans, 2 instants, 3 links.",
        "1 end of flows left out: they are in no span, and at no instant (first: event 6, 'task').",
    ]
    (process_id,) = (process.process_id for process in chrome.processes)
    reader = Reader.of(lake)
    (span,) = reader.rows(f"SELECT id, name FROM process_spans('{process_id}', 'async')")
    links = reader.rows(f"SELECT * FROM view_instance('links', '{process_id}') ORDER BY time")
    assert [
        (link["name"], link["from_time"], link["time"], link["thread_name"], link["from_span_id"], link["span_id"])
        for link in links
    ] == [
        ("task", 10_000, 20_000, None, 0, span["id"]),
        ("", 23_000, 24_999, "thread 1", span["id"], 0),
        ("task", 24_999, 30_000, None, 0, span["id"]),
    ]
    loaded = trace_processor.load(data)
    assert loaded.errors() == []
    shown = arrows(loaded, from_instants=True)
    assert {(out[:2], into[:2]) for out, into in shown} == {
        ((10_000, "submit"), (20_000, None)),
        ((21_000, "work"), (23_000, "note")),
        ((21_000, "work"), (30_000, None)),
    }


def test_ids_and_what_is_left_out(lake: Lake, tmp_path: Path) -> None:
    """Each reason once, with its first event; the spans are there."""
    span = {"ph": "X", "pid": 1, "tid": 1, "name": "a"}
    flow = {"pid": 1, "tid": 1, "name": "f", "cat": "c", "bp": "e"}
    events = [
        {**span, "ts": 10, "dur": 80},
        {**flow, "ph": "s", "ts": 11, "id": "0x0A"},
        {**flow, "ph": "t", "ts": 12, "id": 10},
        {**flow, "ph": "f", "ts": 13, "id": "a"},
        {**flow, "ph": "s", "ts": 14, "id2": {"local": "0xb"}},
        {**flow, "ph": "f", "ts": 15, "id2": {"local": 11}},
        {**flow, "ph": "s", "ts": 16, "id": "any text"},
        {**flow, "ph": "f", "ts": 17, "id": "any text"},
        {**flow, "ph": "f", "ts": 17, "id": "any text", "cat": "another"},
        {**flow, "ph": "f", "ts": 18, "id2": {"local": "b"}, "pid": 2},
        {**span, "pid": 2, "ts": 10, "dur": 80, "bind_id": "1", "flow_out": True},
        {**span, "ts": 20, "dur": 1, "bind_id": 1, "flow_in": 1},
        {**span, "ts": 30, "dur": 1, "bind_id": None, "flow_in": True},
        {**flow, "ph": "s", "ts": 31},
        {**flow, "ph": "s", "ts": 32, "id": []},
        {**flow, "ph": "s", "ts": 33, "id": 5, "tid": 9},
        {**flow, "ph": "s", "ts": 34, "id": "any text"},
        {**flow, "ph": "s", "ts": 35, "id": "any text"},
        {**flow, "ph": "f", "ts": 36, "id": "any text", "bp": ""},
        {**flow, "ph": "f", "id": 10},
        {**flow, "ph": "f", "ts": 37, "id": 1e400},
    ]
    chrome, _ = imported(lake, tmp_path / "trace.json", events)
    assert chrome.findings.describe() == [
        "Imported 4 spans, 4 links.",
        "3 events left out: it is of a flow, without an id, 'id' (first: event 13, 'f').",
        "1 event left out: 'ts' is no number of microseconds (first: event 19, 'f').",
        "1 end of flows left out: 'flow_in' and 'flow_out' are both missing (first: event 11, 'a').",
        "1 end of flows left out: they have no id, 'bind_id' (first: event 12, 'a').",
        "1 end of flows left out: no span of their thread begins after them, and they are not bound to the one around "
        "them (first: event 18, 'f').",
        "1 end of flows left out: they are in no span, and at no instant (first: event 15, 'f').",
        "2 ends of flows left out: their flow has not begun before them (first: event 8, 'f').",
        "1 end of flows left out: their flow has begun already, and has not ended (first: event 17, 'f').",
        "2 ends of flows left out: their flow goes nowhere (first: event 10, 'a').",
    ]
