"""Spans of all processes in one table: those of `process_spans` of each, and nothing is built for the others."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.examples import at, calls
from tests.model.lake import Reader, deliver, ingest_blocks, ingest_process, partitioned_like, text_literal, timestamp
from tests.model.places import StatementCounter
from tests.model.rows import Row
from tests.model.spans import TimeRange, stream_spans
from tests.model.strategies import Delivery, deliveries, effort, time_ranges
from tests.model.telemetry import Process, cut
from udtf.errors import InvalidArgument
from udtf.functions.query_context import QueryContext
from udtf.lake.lake import Lake


def _listed(ids: list[str]) -> str:
    return ", ".join(map(text_literal, ids))


@effort(8)
@given(several=st.lists(deliveries(), min_size=1, max_size=4), data=st.data())
def test_they_are_those_of_each_process(
    lake: Lake, reader: Reader, several: list[Delivery], data: st.DataObject
) -> None:
    """In the same order, of each that has telemetry in the range; the range is that of the call or of the arguments."""
    first = several[0]
    spans = [
        span for stream in first.process.streams for span in stream_spans(first.process, stream, first.blocks).spans
    ]
    chosen = data.draw(st.none() | time_ranges(spans))
    span_types = data.draw(st.sampled_from(["thread", "async", "both", "all"]))
    with partitioned_like(several[0]):
        for delivery in several:
            deliver(lake, delivery)
        ids = [delivery.process.process_id for delivery in several]
        condition = f"WHERE process_id IN ({_listed(ids)})"
        arguments = "" if chosen is None else f", {timestamp(chosen.begin_ns)}, {timestamp(chosen.end_ns)}"
        found = reader.rows(f"SELECT * FROM spans('{span_types}'{arguments}) {condition}")
        by_call = reader.rows(f"SELECT * FROM spans('{span_types}') {condition}", chosen)
        alone = {
            process_id: reader.rows(f"SELECT * FROM process_spans('{process_id}', '{span_types}')", chosen)
            for process_id in ids
        }
    assert by_call == found
    shown = {key: list(rows) for key, rows in itertools.groupby(found, lambda row: str(row["process_id"]))}
    for delivery in several:
        process_id = delivery.process.process_id
        head = {"process_id": process_id, "exe": delivery.process.exe}
        expected = [{**head, **row} for row in alone[process_id]] if _has_telemetry(lake, process_id, chosen) else []
        assert shown.get(process_id, []) == expected


def _has_telemetry(lake: Lake, process_id: str, chosen: TimeRange | None) -> bool:
    history = lake.metadata.history(process_id)
    return history.last_end_time is not None and (chosen is None or history.last_end_time >= chosen.begin_ns)


@pytest.fixture
def processes(lake: Lake) -> list[Process]:
    """Three of one program each, side by side, and one of 20 calls an hour later."""
    made = [examples.process(examples.thread(*calls(n)), exe=f"service-{n}") for n in (2, 3, 4)]
    made.append(examples.process(examples.thread(*calls(20, 3_600_000_000)), exe="late"))
    for process in made:
        ingest_process(lake, process)
        ingest_blocks(lake, cut(process.streams[0], [3]))
    return made


def test_spans_from_before_their_process_are_found(lake: Lake, reader: Reader) -> None:
    """As of a sender that describes itself after it has begun."""
    process = examples.process(examples.thread(*calls(3, -1_000)))
    ingest_process(lake, process)
    ingest_blocks(lake, cut(process.streams[0], []))
    condition = f"WHERE process_id = '{process.process_id}'"
    before = f"{timestamp(at(-2_000))}, {timestamp(at(-900))}"
    assert len(reader.rows(f"SELECT name FROM spans('thread', {before}) {condition}")) > 0
    assert (
        reader.rows(f"SELECT name FROM spans('thread', {timestamp(at(-2_000))}, {timestamp(at(-1_500))}) {condition}")
        == []
    )


def _partitions(reader: Reader, processes: list[Process]) -> set[object]:
    ids = _listed([process.process_id for process in processes])
    return {row["process_id"] for row in reader.rows(f"SELECT * FROM list_partitions() WHERE process_id IN ({ids})")}


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("exe = 'service-3'", [1]),
        ("exe IN ('service-2', 'late') AND depth >= 0", [0, 3]),
        ("process_id = '{0}' OR process_id = '{2}'", [0, 2]),
        ("exe IN ('a', 'b', 'service-2', 'c', 'd', 'e')", [0]),
        ("exe = 'none'", []),
    ],
)
def test_nothing_is_built_for_processes_that_are_not_wanted(
    reader: Reader, processes: list[Process], condition: str, wanted: list[int]
) -> None:
    """Where the condition is one of equality, of the process or its program."""
    ids = [process.process_id for process in processes]
    condition = condition.format(*ids)
    found: list[Row] = reader.rows(f"SELECT process_id FROM spans('thread') WHERE {condition}")
    assert {row["process_id"] for row in found} & set(ids) == {ids[number] for number in wanted}
    assert _partitions(reader, processes) == {ids[number] for number in wanted}


def test_nothing_is_built_for_processes_of_other_times(reader: Reader, processes: list[Process]) -> None:
    """What has ended before the range, and what began after it."""
    early, late = {process.process_id for process in processes[:3]}, processes[3].process_id
    hour = f"{timestamp(at(3_600_000_000))}, {timestamp(at(7_200_000_000))}"
    # Of these processes alone: others in the lake were stored with other sizes of stretches.
    ids = _listed([process.process_id for process in processes])
    found = reader.rows(f"SELECT DISTINCT process_id FROM spans('both', {hour}) WHERE process_id IN ({ids})")
    assert late in {row["process_id"] for row in found}
    assert not early & {row["process_id"] for row in found}
    assert _partitions(reader, processes) == {late}


def test_the_history_of_a_process_that_is_not_wanted_is_not_read(reader: Reader, processes: list[Process]) -> None:
    """Where it began after the range, and its telemetry might have begun before it."""
    before = f"{timestamp(at(-2_000))}, {timestamp(at(-900))}"
    late = processes[3].process_id
    with StatementCounter() as counter:
        assert reader.rows(f"SELECT name FROM spans('thread', {before}) WHERE process_id = '{late}'") == []
    assert sum("FROM segments" in statement for statement in counter.statements) <= 1


def test_only_visible_processes_are_there(lake: Lake, reader: Reader, processes: list[Process]) -> None:
    """For a caller who may see some."""
    visible = frozenset(process.process_id for process in processes[:2])
    query = reader.engine.plan("SELECT process_id FROM spans('both')", QueryContext(visible_processes=visible))
    assert {row["process_id"] for batch in query.batches() for row in batch.to_pylist()} == visible


def test_a_fleet_in_one_statement(reader: Reader, processes: list[Process]) -> None:
    """How often and how long, by program."""
    ids = _listed([process.process_id for process in processes])
    found = reader.rows(
        "SELECT exe, count(*) AS n, percentile_cont(0.99) WITHIN GROUP (ORDER BY duration) AS p99 "
        f"FROM spans('thread') WHERE process_id IN ({ids}) GROUP BY exe ORDER BY exe"
    )
    assert [(row["exe"], row["n"]) for row in found] == [
        ("late", 40),
        ("service-2", 4),
        ("service-3", 6),
        ("service-4", 8),
    ]


@pytest.mark.parametrize(
    "arguments", ["'threads'", "7", "'both', 'tomorrow'", "'both', TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-01'"]
)
def test_wrong_arguments_are_refused(reader: Reader, arguments: str) -> None:
    """While planning."""
    with pytest.raises(InvalidArgument, match=r"span_types|begin"):
        reader.plan(f"SELECT * FROM spans({arguments})")
