"""A trace of several processes: each is shown as in a trace of its own, all in one time line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.examples import calls
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, deliver, ingest_process, partitioned_like
from tests.model.strategies import ALL_TIME, Delivery, deliveries, effort
from tests.model.telemetry import cut
from tests.model.trace_reader import Trace, Track, read_trace
from tests.support.trace_processor import TraceProcessor
from udtf.errors import InvalidArgument, NotFound
from udtf.lake.lake import Lake


def _by_process(trace: Trace) -> list[Trace]:
    """The tracks of each process, in the order of the trace."""

    def root(track: Track) -> int:
        return track.uuid if track.parent_uuid == 0 else root(trace.tracks[track.parent_uuid])

    roots = [track.uuid for track in trace.tracks.values() if track.parent_uuid == 0]
    return [Trace({t.uuid: t for t in trace.tracks.values() if root(t) == uuid}) for uuid in roots]


@effort(8)
@given(several=st.lists(deliveries(), min_size=1, max_size=3), data=st.data())
def test_each_process_is_shown_as_alone(
    lake: Lake, reader: Reader, several: list[Delivery], data: st.DataObject
) -> None:
    """Also if all of them say that they have the same pid, as those of the model do."""
    with partitioned_like(several[0]):
        for delivery in several:
            deliver(lake, delivery)
        ids = [delivery.process.process_id for delivery in several]
        span_types = data.draw(st.sampled_from(["all", "thread", "async"]))
        together = reader.trace_bytes(",".join(ids), span_types, ALL_TIME)
        progress = reader.progress
        alone = [reader.trace_bytes(process_id, span_types, ALL_TIME) for process_id in ids]
    traces = _by_process(read_trace(together))
    assert len(traces) == len(several)
    for trace, delivery in zip(traces, several, strict=True):
        shown = "both" if span_types == "all" else span_types
        assert_trace_is_model(trace, delivery.process, delivery.blocks, shown, ALL_TIME)
    pids = [{track.process_id for track in trace.tracks.values()} - {None} for trace in traces]
    assert all(len(of_process) == 1 for of_process in pids)
    assert len(set.union(*pids)) == len(several)
    assert together.startswith(alone[0])
    assert progress[-1]["size_bytes"] == len(together)
    assert progress[-1]["threads_done"] == progress[-1]["threads_total"]
    if span_types != "async":
        assert progress[-1]["threads_total"] == sum(len(d.process.of_kind("thread")) for d in several)


def test_the_trace_processor_sees_several_processes(
    lake: Lake, reader: Reader, trace_processor: TraceProcessor
) -> None:
    """With one pid, and threads of one tid, of their own; asked for in any order, each once."""
    several = []
    for name in ("first", "second"):
        thread = examples.thread(*calls(3), name=name)
        process = examples.process(thread)
        deliver(lake, Delivery(process, (cut(thread, [5]),)))
        several.append(process.process_id)
    text = f" {several[1]} , {several[0]},{several[1]}"
    loaded = trace_processor.load(reader.trace_bytes(text, "all", ALL_TIME))
    assert loaded.errors() == []
    rows = loaded.query(
        "SELECT process.pid, thread.name, count(*) AS n, min(slice.ts) AS begin FROM slice "
        "JOIN thread_track ON thread_track.id = slice.track_id JOIN thread USING (utid) JOIN process USING (upid) "
        "GROUP BY process.pid, thread.name ORDER BY thread.name"
    )
    assert [(row["name"], row["n"], row["begin"]) for row in rows] == [
        (name, 6, examples.at(0)) for name in ("first", "second")
    ]
    assert len({row["pid"] for row in rows}) == 2


@pytest.mark.parametrize("text", ["{},", ",{}", "{}, ,{}", ","])
def test_an_empty_id_is_refused(text: str, lake: Lake, reader: Reader) -> None:
    process = examples.process()
    ingest_process(lake, process)
    given = text.format(*[process.process_id] * 2)
    message = f"process_id must be an id, or several with a comma between them, given: {given!r}"
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        reader.trace_bytes(given, "all", ALL_TIME)


def test_one_that_is_unknown_fails_the_statement(lake: Lake, reader: Reader) -> None:
    process = examples.process()
    ingest_process(lake, process)
    with pytest.raises(NotFound, match="process 'nobody' is unknown"):
        reader.trace_bytes(f"{process.process_id},nobody", "all", ALL_TIME)
