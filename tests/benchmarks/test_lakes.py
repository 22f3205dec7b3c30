"""The lakes that are measured hold what they promise, however it came."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import generator, uploads
from benchmarks.generator import BEGIN
from benchmarks.lakes import WARM_UP_ID, Workbench
from benchmarks.recordings import FLUSH_S, RECORDINGS, Among, Arrival, Live, Recording, Whole, Window
from benchmarks.uploads import START_NS, Upload
from tests.model.lake import Reader
from udtf.lake.lake import Lake

WHOLE = Whole(threads=3, spans_per_thread=70)
LIVE = Live(flushes=90, threads=3, spans_per_flush=7)
FLUSH_NS = FLUSH_S * 10**9
ARRIVALS: tuple[Arrival, ...] = ("in order", "late", "away")


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def test_a_lake_shows_exactly_the_promised_spans(bench: Workbench) -> None:
    """Every thread has its spans, all of them ended, and no process but the one to warm up is beside it."""
    with bench.fresh_copy(WHOLE) as folder:
        lake = Lake.open(str(folder))
        reader = Reader.of(lake)
        spans = reader.rows(
            'SELECT thread_name, count(*) AS spans, count("end") AS ended, min(depth) AS least, max(depth) AS most '
            f"FROM process_spans('{WHOLE.process_id}', 'thread') GROUP BY thread_name ORDER BY thread_name"
        )
        processes = reader.rows("SELECT process_id FROM processes ORDER BY process_id")
        lake.close()
    assert [(row["thread_name"], row["spans"], row["ended"]) for row in spans] == [
        (f"worker-{thread}", 70, 70) for thread in range(3)
    ]
    assert all(row["least"] == 0 and 2 <= int(str(row["most"])) < 70 for row in spans)
    assert [row["process_id"] for row in processes] == [WHOLE.process_id, WARM_UP_ID]


def test_a_lake_is_made_once_and_stays_cold(bench: Workbench) -> None:
    """What is done to a copy does not reach the lake that the next copy is made from."""
    folder = bench.lake(WHOLE)
    made_ns = (folder / "metadata.db").stat().st_mtime_ns
    with bench.fresh_copy(WHOLE) as copy:
        lake = Lake.open(str(copy))
        Reader.of(lake).query(f"SELECT count(*) FROM process_spans('{WHOLE.process_id}', 'thread')")
        assert Reader.of(lake).query("SELECT * FROM list_partitions()").num_rows > 0
        lake.close()
    with bench.fresh_copy(WHOLE) as copy:
        lake = Lake.open(str(copy))
        assert Reader.of(lake).query("SELECT * FROM list_partitions()").num_rows == 0
        lake.close()
    assert bench.lake(WHOLE) == folder
    assert (folder / "metadata.db").stat().st_mtime_ns == made_ns


@pytest.mark.slow
@pytest.mark.parametrize(
    "recording",
    [Live(90, 3, 7, arrival=arrival) for arrival in ARRIVALS] + [Live(30, 3, 7, repeats=3), Among(LIVE, 2, Live(2, 1))],
    ids=lambda recording: recording.process_id,
)
def test_a_live_process_shows_its_spans_however_they_came(bench: Workbench, recording: Live | Among) -> None:
    """As a whole, and in its minute as many as were counted from its events."""
    live = recording.measured if isinstance(recording, Among) else recording
    whole = live.window(0, live.seconds)
    with bench.fresh_copy(recording) as folder:
        lake = Lake.open(str(folder))
        reader = Reader.of(lake)
        counts = [_spans_of(reader, recording.process_id, window) for window in (whole, recording.minute)]
        processes = reader.rows("SELECT count(*) AS processes FROM processes")
        lake.close()
    assert counts[0] == recording.spans_within(whole) == live.spans
    assert 0 < counts[1] == recording.spans_within(recording.minute) < counts[0]
    assert processes == [{"processes": 2 + (recording.others if isinstance(recording, Among) else 0)}]


def _spans_of(reader: Reader, process_id: str, window: Window) -> int:
    sql = f"""SELECT count(*) AS spans FROM process_spans('{process_id}', 'thread')
        WHERE begin <= arrow_cast({window.end_ns}, 'Timestamp(Nanosecond, Some("UTC"))')
        AND ("end" IS NULL OR "end" >= arrow_cast({window.begin_ns}, 'Timestamp(Nanosecond, Some("UTC"))'))"""
    (row,) = reader.rows(sql)
    return int(str(row["spans"]))


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_arrivals_differ_in_their_order_only(arrival: Arrival) -> None:
    """Each block is sent once, with the same events as in order. Late ones are behind later ones, and those of a sender
    that was away come in few uploads."""
    in_order, arrived = _blocks(Live(90, 3, 7)), _blocks(Live(90, 3, 7, arrival=arrival))
    assert len(arrived) == 90 * 3
    assert sorted(block[1:] for block in arrived) == sorted(block[1:] for block in in_order)
    flushes = [ticks[0] // FLUSH_NS for _, _, _, ticks in arrived]
    assert (flushes == sorted(flushes)) == (arrival != "late")
    assert (len({number for number, *_ in arrived}) < 90) == (arrival == "away")


def test_an_upload_of_a_live_process_has_one_block_of_each_thread() -> None:
    """With as many events as promised, all within the interval that it is sent after."""
    for index, (number, stream_id, ordinal, ticks) in enumerate(_blocks(LIVE)):
        assert number == index // 3
        assert stream_id == f"p-{index % 3:03}"
        assert ordinal == number * 2 * 7
        assert len(ticks) == 2 * 7
        assert number * FLUSH_NS <= ticks[0] <= ticks[-1] < (number + 1) * FLUSH_NS


def test_repeats_are_the_same_later() -> None:
    """The second time has the events of the first one, later, behind those."""
    once = _blocks(Live(4, 2, 5))
    expected = [
        (number + repeat * 4, stream_id, ordinal + repeat * 40, tuple(tick + repeat * 4 * FLUSH_NS for tick in ticks))
        for repeat in range(3)
        for number, stream_id, ordinal, ticks in once
    ]
    assert _blocks(Live(4, 2, 5, repeats=3)) == expected


def _blocks(live: Live) -> list[tuple[int, str, int, tuple[int, ...]]]:
    """Number of its upload, stream, ordinal of its first event, and ticks of each block."""
    return [
        (number, block.stream.stream_id, block.first_ordinal, tuple(block.events.ticks.tolist()))
        for number, blocks in enumerate(live.blocks_as("p"))
        for block in blocks
    ]


def test_spans_within_a_window_are_those_that_overlap_it() -> None:
    """Counted once more, span by span."""
    events = generator.steady_thread_events(6, 20, FLUSH_NS, thread=0)
    spans, stack = [], []
    for tick, kind in zip(events.ticks.tolist(), events.kinds.tolist(), strict=True):
        if kind == BEGIN:
            stack.append(tick)
        else:
            spans.append((stack.pop(), tick))
    live = Live(6, 1, 20)
    for begin_s, seconds in ((0, 12), (3, 0.5), (5, 4), (11.9, 1)):
        window = live.window(begin_s, seconds)
        begin, end = window.begin_ns - START_NS, window.end_ns - START_NS
        assert live.spans_within(window) == sum(first <= end and last >= begin for first, last in spans)


def test_an_upload_under_another_name_is_that_of_another_process() -> None:
    """Nothing but its ids differs from what that process would have sent."""
    renamed = [uploads.of_process(upload, "template", "another") for upload in LIVE.uploads_as("template")]
    expected: list[Upload] = list(LIVE.uploads_as("another"))
    assert [table for table, _ in renamed] == [table for table, _ in expected]
    for (_, batch), (_, other) in zip(renamed, expected, strict=True):
        assert batch.equals(other)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.process_id)
def test_no_two_recordings_have_the_same_name(recording: Recording) -> None:
    """It is that of their folder."""
    assert [other.process_id for other in RECORDINGS].count(recording.process_id) == 1


@pytest.mark.parametrize("spans", [1, 2, generator.TREE_SPANS + 1, 1_000])
def test_events_of_a_thread_match_as_parentheses(spans: int) -> None:
    """As many begins as spans were asked for, each ended by an event of its own scope, times never decreasing."""
    for events in (generator.thread_events(spans, 7), generator.steady_thread_events(spans, 1, 1_000, 7)):
        stack: list[int] = []
        for kind, scope in zip(events.kinds.tolist(), events.scopes.tolist(), strict=True):
            if kind == BEGIN:
                stack.append(scope)
            else:
                assert stack.pop() == scope
        assert not stack
        assert int((events.kinds == BEGIN).sum()) == spans
        assert len(events) == 2 * spans
        assert np.all(np.diff(events.ticks) >= 0)


def test_steady_events_are_as_many_in_each_interval() -> None:
    """And lie within it."""
    events = generator.steady_thread_events(50, 9, 1_000_000, thread=3)
    assert np.array_equal(events.ticks // 1_000_000, np.repeat(np.arange(50), 18))


def test_threads_differ_and_come_out_the_same_again() -> None:
    """Two threads record different things; one of them, made again, the same."""
    once, again, other = (generator.thread_events(200, thread) for thread in (1, 1, 2))
    assert np.array_equal(once.ticks, again.ticks)
    assert np.array_equal(once.scopes, again.scopes)
    assert not np.array_equal(once.kinds, other.kinds)


@pytest.mark.parametrize("spans", [1, generator.TREE_SPANS + 1, 5_000])
def test_async_events_are_tasks_that_overlap(spans: int) -> None:
    """Each span has an id of its own, ends once, and lies within its parent, one level below it."""
    events = generator.async_events(spans)
    columns = events.async_columns
    assert columns is not None
    depths = {0: -1}
    most = 0
    for kind, span_id, parent_id, depth in zip(
        events.kinds.tolist(),
        columns.span_ids.tolist(),
        columns.parent_span_ids.tolist(),
        columns.depths.tolist(),
        strict=True,
    ):
        if kind == BEGIN:
            assert depth == depths[parent_id] + 1
            depths[span_id] = depth
            most = max(most, sum(open_depth == 0 for open_depth in depths.values()))
        else:
            del depths[span_id]
    assert depths == {0: -1}
    assert set(columns.span_ids.tolist()) == set(range(1, spans + 1))
    assert len(events) == 2 * spans
    assert np.all(np.diff(events.ticks) > 0)
    assert most >= 2 or spans < 5_000
