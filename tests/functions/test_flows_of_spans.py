"""Spans that say which span of another process called them: traces show an arrow, whatever else is noted."""

from dataclasses import replace

import pytest

from tests.model import examples
from tests.model.examples import begin, end, task_begin, task_end
from tests.model.lake import Reader, deliver
from tests.model.strategies import ALL_TIME, Delivery
from tests.model.telemetry import Event, LogLine, MomentStream, Process, Stream, cut
from tests.model.trace_reader import read_trace
from tests.support.trace_processor import TraceProcessor
from udtf.lake.lake import Lake

Value = str | int | float | bool
FIRST, SECOND, THIRD = "00000000000000a1", "eee19b7ec3c1b174", "ffffffffffffffff"


def noted(event: Event, **attributes: Value) -> Event:
    return replace(event, attributes=tuple(attributes.items()))


def delivered(lake: Lake, *streams: Stream) -> Process:
    process = examples.process(*streams)
    deliver(lake, Delivery(process, (tuple(block for stream in streams for block in cut(stream, [])),)))
    return process


def traced(reader: Reader, *processes: Process) -> bytes:
    return reader.trace_bytes(",".join(process.process_id for process in processes), "all", ALL_TIME)


def flows_of(trace: bytes) -> dict[str, int]:
    """By the names of slices and instants."""
    return {
        mark.name: mark.flow
        for track in read_trace(trace).tracks.values()
        for mark in (*track.slices, *track.instants)
        if mark.flow is not None
    }


def test_spans_of_two_processes_are_joined(lake: Lake, reader: Reader, trace_processor: TraceProcessor) -> None:
    """Of threads and of tasks, noted at the begin or at the end, among other attributes."""
    caller = delivered(
        lake,
        examples.thread(noted(begin(1, "ask"), path="/", span_id=FIRST, status=200), end(9, "ask")),
        examples.tasks(
            noted(task_begin(2, 1, name="ask from a task"), span_id=SECOND),
            task_begin(3, 2, name="ask once more"),
            noted(task_end(8, 2, name="ask once more"), span_id=THIRD),
            task_end(9, 1, name="ask from a task"),
        ),
    )
    called = delivered(
        lake,
        examples.thread(noted(begin(4, "answer a task"), parent_span_id=SECOND), end(5, "answer a task")),
        examples.tasks(
            noted(task_begin(3, 1, name="answer"), parent_span_id=FIRST, trace_id="f" * 32),
            noted(task_begin(5, 2, name="answer once more"), parent_span_id=THIRD),
            task_end(6, 1, name="answer"),
            task_end(6, 2, name="answer once more"),
        ),
    )
    trace = traced(reader, caller, called)
    ids = {"": int(FIRST, 16), " a task": int(SECOND, 16), " once more": int(THIRD, 16)}
    assert flows_of(trace) == {f"answer{which}": -number for which, number in ids.items()} | {
        "ask": ids[""],
        "ask from a task": ids[" a task"],
        "ask once more": ids[" once more"],
    }
    loaded = trace_processor.load(trace)
    assert loaded.errors() == []
    shown = loaded.query(
        "SELECT o.name AS caller, i.name AS called FROM flow JOIN slice o ON o.id = slice_out "
        "JOIN slice i ON i.id = slice_in ORDER BY called"
    )
    assert [(row["caller"], row["called"]) for row in shown] == [
        *(("ask", "answer"), ("ask from a task", "answer a task"), ("ask once more", "answer once more"))
    ]
    for process in (caller, called):
        assert trace_processor.load(traced(reader, process)).errors() == []


@pytest.mark.parametrize("key", ["span_id", "parent_span_id"])
def test_other_values_are_attributes_and_nothing_else(lake: Lake, reader: Reader, key: str) -> None:
    """Values that are no such ids, keys that are alike, and attributes of what is no span."""
    values: list[Value] = ["", FIRST[1:], FIRST + "0", FIRST.upper(), "g" * 16, " " * 16, 1, 0.5, True]
    spans = [
        event
        for number, value in enumerate(values)
        for event in (noted(begin(2 * number, "f"), **{key: value}), end(2 * number + 1, "f"))
    ]
    alike = noted(begin(100, "f"), **{key[:-1] + "_": FIRST, "x" * len(key): FIRST, key + "s": FIRST})
    thread = examples.thread(*spans, alike, end(101, "f"))
    line = LogLine(5, examples.scope("f"), 3, "line", ((key, FIRST),))
    log = MomentStream("log-" + thread.stream_id, False, "main", thread.thread_id, (line,), "log", thread)
    trace = traced(reader, delivered(lake, thread, log))
    assert flows_of(trace) == {}
    slices = [each for track in read_trace(trace).tracks.values() for each in track.slices]
    assert [each.annotations.get(key) for each in slices] == [*values, None]
