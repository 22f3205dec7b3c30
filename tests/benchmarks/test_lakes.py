"""The lakes that are measured hold what they promise."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import generator
from benchmarks.lakes import WARM_UP, Shape, Workbench
from tests.model.lake import Reader
from udtf.lake.block_format import BEGIN
from udtf.lake.lake import Lake

SHAPE = Shape(threads=3, spans_per_thread=70)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def test_a_lake_shows_exactly_the_promised_spans(bench: Workbench) -> None:
    """Every thread has its spans, all of them ended, and no process but the one to warm up is beside it."""
    with bench.fresh_copy(SHAPE) as folder:
        lake = Lake.open(str(folder))
        reader = Reader.of(lake)
        spans = reader.rows(
            'SELECT thread_name, count(*) AS spans, count("end") AS ended, min(depth) AS least, max(depth) AS most '
            f"FROM process_spans('{SHAPE.process_id}', 'thread') GROUP BY thread_name ORDER BY thread_name"
        )
        processes = reader.rows("SELECT process_id FROM processes ORDER BY process_id")
        lake.close()
    assert [(row["thread_name"], row["spans"], row["ended"]) for row in spans] == [
        (f"worker-{thread}", 70, 70) for thread in range(3)
    ]
    assert all(row["least"] == 0 and 2 <= int(str(row["most"])) < 70 for row in spans)
    assert [row["process_id"] for row in processes] == [SHAPE.process_id, WARM_UP]


def test_a_lake_is_made_once_and_stays_cold(bench: Workbench) -> None:
    """What is done to a copy does not reach the lake that the next copy is made from."""
    folder = bench.lake(SHAPE)
    made_ns = (folder / "metadata.db").stat().st_mtime_ns
    with bench.fresh_copy(SHAPE) as copy:
        lake = Lake.open(str(copy))
        Reader.of(lake).query(f"SELECT count(*) FROM process_spans('{SHAPE.process_id}', 'thread')")
        lake.close()
        assert list(copy.glob("views/**/*.parquet"))
    with bench.fresh_copy(SHAPE) as copy:
        lake = Lake.open(str(copy))
        assert Reader.of(lake).query("SELECT * FROM list_partitions()").num_rows == 0
        lake.close()
    assert bench.lake(SHAPE) == folder
    assert (folder / "metadata.db").stat().st_mtime_ns == made_ns


@pytest.mark.parametrize("spans", [1, 2, generator.TREE_SPANS + 1, 1_000])
def test_events_of_a_thread_match_as_parentheses(spans: int) -> None:
    """As many begins as spans were asked for, each ended by an event of its own scope, times never decreasing."""
    events = generator.thread_events(spans, thread=7)
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
