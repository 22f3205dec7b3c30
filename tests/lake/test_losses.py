"""What was lost on the way to the lake is told, never papered over."""

import pyarrow as pa
import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls, end, task_begin, task_end
from tests.model.lake import STREAM_BATCH, Reader, ingest_blocks, ingest_process, stream_batch
from tests.model.spans import TimeRange
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.lake import schemas
from udtf.lake.lake import Lake


@pytest.mark.parametrize("lost", [0, 1])
def test_lost_events_are_counted_and_shown_on_their_thread(lost: int, lake: Lake, reader: Reader) -> None:
    """How many, and when, on the track and beside the trace; the same when it is asked for again."""
    whole = examples.thread(*calls(5), name="whole")
    holed = examples.thread(*calls(15), name="holed")
    process = examples.process(whole, holed)
    blocks = cut(holed, [20, 40])
    ingest_process(lake, process)
    ingest_blocks(lake, [*cut(whole, []), *(block for i, block in enumerate(blocks) if i != lost)])
    for _ in ("cold", "warm"):
        trace = reader.trace(process.process_id, "both", ALL_TIME)
        told = [message for message in reader.messages if message["type"] == "events_lost"]
        assert [(message["stream_id"], message["nb_events"]) for message in told] == [(holed.stream_id, 20)]
        [track] = [track for track in trace.thread_tracks if track.thread_id == holed.thread_id]
        after = process.time_ns(blocks[lost + 1].events[0].ticks)
        assert [(instant.begin_ns, instant.name) for instant in track.instants] == [(after, "20 events lost")]


def _with_a_gap(lake: Lake) -> Process:
    """A process in the lake that has events at 0, 10, 100 and 110, and lost two in between."""
    stream = examples.thread(
        begin(0, "a"), end(10, "a"), begin(40, "lost"), end(50, "lost"), begin(100, "c"), end(110, "c")
    )
    process = examples.process(stream)
    ingest_process(lake, process)
    before, _, after = cut(stream, [2, 4])
    ingest_blocks(lake, [before, after])
    return process


@pytest.mark.parametrize(("begin_ticks", "end_ticks"), [(0, 60), (20, 60), (10, 10), (60, 100), (0, 200)])
def test_a_range_that_touches_a_gap_is_told_of_it(begin_ticks: int, end_ticks: int, lake: Lake, reader: Reader) -> None:
    """What is missing may have been at any time between what is there; it is shown within the range."""
    process = _with_a_gap(lake)
    trace = reader.trace(process.process_id, "both", TimeRange(at(begin_ticks), at(end_ticks)))
    assert [message["nb_events"] for message in reader.messages if message["type"] == "events_lost"] == [2]
    (instant,) = [instant for track in trace.thread_tracks for instant in track.instants]
    assert instant.begin_ns == min(at(100), at(end_ticks))


@pytest.mark.parametrize(("begin_ticks", "end_ticks"), [(0, 9), (101, 200)])
def test_a_range_beside_a_gap_is_not_told_of_it(begin_ticks: int, end_ticks: int, lake: Lake, reader: Reader) -> None:
    """There, all is known."""
    process = _with_a_gap(lake)
    reader.trace(process.process_id, "both", TimeRange(at(begin_ticks), at(end_ticks)))
    assert reader.messages == []


def test_views_tell_of_losses_as_traces_do(lake: Lake, reader: Reader) -> None:
    """The same messages, whoever shows the stream."""
    stream = examples.thread(*calls(15), *(end(500 + number) for number in range(3)), name="holed")
    process = examples.process(stream)
    ingest_process(lake, process)
    ingest_blocks(lake, [block for index, block in enumerate(cut(stream, [20, 40])) if index != 1])
    reader.trace(process.process_id, "thread", ALL_TIME)
    told = reader.messages
    assert [message["type"] for message in told] == ["events_lost", "orphan_ends"]
    for table in (
        f"process_spans('{process.process_id}', 'both')",
        f"view_instance('thread_spans', '{stream.stream_id}')",
    ):
        reader.rows(f"SELECT id FROM {table}")
        assert reader.messages == told


@pytest.mark.parametrize(("dropped", "told"), [("41", 41), ("0", 0), ("-1", 0), ("many", 0), ("9" * 30, 0)])
def test_spans_that_were_never_recorded_are_told_and_shown(dropped: str, told: int, lake: Lake, reader: Reader) -> None:
    """On their thread, or the process for async ones. When they would have been, nobody knows."""
    full, other = examples.thread(*calls(5), name="full"), examples.thread(*calls(5), name="other")
    tasks = examples.tasks(task_begin(0, 1), task_end(1, 1))
    process = examples.process(full, other, tasks)
    ingest_process(lake, process)
    streams = stream_batch(process, [full, tasks])
    properties = pa.array([[("thread-name", "full"), ("dropped-spans", dropped)]] * 2, schemas.PROPERTIES)
    lake.ingest("streams", streams.set_column(4, STREAM_BATCH.field("properties"), properties))
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [])])
    trace = reader.trace(process.process_id, "both", TimeRange(at(0), at(1000)))
    expected = [{"type": "spans_dropped", "thread_name": "full", "nb_spans": told}] * 2 if told else []
    assert [{name: message[name] for name in expected[0]} for message in reader.messages if expected] == expected
    assert bool(reader.messages) == bool(told)
    instants = [instant for track in trace.thread_tracks for instant in track.instants]
    assert [instant.name for instant in instants] == ([f"{told} spans dropped"] if told else [])
    assert all(at(0) <= instant.begin_ns <= at(1000) for instant in instants)
    reader.rows(f"SELECT * FROM view_instance('thread_spans', '{other.stream_id}')")
    assert reader.messages == []


def test_nothing_is_told_when_nothing_is_lost(lake: Lake, reader: Reader) -> None:
    """A span that is still open is no loss."""
    stream = examples.thread(begin(0, "open"), *calls(5, 1))
    process = examples.process(stream)
    ingest_process(lake, process)
    ingest_blocks(lake, cut(stream, [7]))
    for time_range in (ALL_TIME, TimeRange(at(50), at(60))):
        reader.trace(process.process_id, "both", time_range)
        assert reader.messages == []


def test_ends_of_tasks_without_a_begin_are_counted(lake: Lake, reader: Reader) -> None:
    """Those whose begin no block holds; one that comes in a later block than its begin is none of them."""
    stream = examples.tasks(
        task_end(0, 9), task_begin(1, 1), task_begin(2, 2), task_begin(3, 3), task_end(4, 1), task_end(5, 2)
    )
    process = examples.process(stream)
    ingest_process(lake, process)
    blocks = cut(stream, [2, 3])
    ingest_blocks(lake, [blocks[0], blocks[2]])
    for _ in ("cold", "warm"):
        reader.trace(process.process_id, "both", ALL_TIME)
        told = [message for message in reader.messages if message["type"] == "orphan_ends"]
        assert [(message["stream_id"], message["nb_events"]) for message in told] == [(stream.stream_id, 2)]
    reader.trace(process.process_id, "both", TimeRange(at(0), at(4)))
    assert [message["nb_events"] for message in reader.messages if message["type"] == "orphan_ends"] == [1]


def test_ends_without_a_begin_are_counted(lake: Lake, reader: Reader) -> None:
    """Those at the start of a thread that was recorded from its middle on, and those after a hole."""
    stream = examples.thread(end(0), end(1), begin(2), begin(3), end(4), begin(5), end(6), end(7), end(8))
    process = examples.process(stream)
    ingest_process(lake, process)
    blocks = cut(stream, [4, 6])
    ingest_blocks(lake, [blocks[0], blocks[2]])
    for _ in ("cold", "warm"):
        reader.trace(process.process_id, "both", ALL_TIME)
        told = [message for message in reader.messages if message["type"] == "orphan_ends"]
        assert [(message["stream_id"], message["nb_events"]) for message in told] == [(stream.stream_id, 5)]
