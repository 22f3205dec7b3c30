"""However telemetry was cut, lost, shuffled and sent twice: the views hold what the model says."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.model.lake import Reader, deliver, partitioned_like
from tests.model.rows import (
    THREAD_SPAN_COLUMNS,
    Row,
    async_event_row,
    in_any_order,
    process_span_rows,
    thread_span_rows,
    without,
)
from tests.model.spans import async_events, stream_spans
from tests.model.strategies import Delivery, deliveries, effort, processes, time_ranges
from udtf.lake.lake import Lake


def _all_spans(delivery: Delivery) -> list:  # type: ignore[type-arg]
    return [
        span
        for stream in delivery.process.streams
        for span in stream_spans(delivery.process, stream, delivery.blocks).spans
    ]


def _check_hashes(rows: Sequence[Row]) -> None:
    """One scope, one hash of 32 bits."""
    hashes: dict[tuple[object, ...], object] = {}
    for row in rows:
        scope = (row["name"], row["target"], row["filename"], row["line"])
        assert 0 <= row["hash"] < 2**32  # type: ignore[operator]
        assert hashes.setdefault(scope, row["hash"]) == row["hash"]


@effort(18)
@given(delivery=deliveries(processes(max_threads=2, max_async_streams=0, min_streams=1)), data=st.data())
def test_thread_spans_are_those_of_the_model(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """Ids, parents, depths, times and scopes, in order, for the whole life and for a range."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        some_range = data.draw(time_ranges(_all_spans(delivery)))
        for time_range in data.draw(st.permutations([None, some_range])):
            for stream in delivery.process.streams:
                rows = reader.rows(f"SELECT * FROM view_instance('thread_spans', '{stream.stream_id}')", time_range)
                _check_hashes(rows)
                expected = thread_span_rows(delivery.process, stream, delivery.blocks, time_range)
                assert without(rows, "hash") == expected
                assert not rows or set(rows[0]) == {*THREAD_SPAN_COLUMNS, "hash"}


@effort(16)
@given(delivery=deliveries(processes(max_threads=0, min_streams=1)), data=st.data())
def test_async_events_are_those_of_the_model(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """Both events of each span that overlaps the range, and no other."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        process = delivery.process
        some_range = data.draw(time_ranges(_all_spans(delivery)))
        for time_range in data.draw(st.permutations([None, some_range])):
            rows = reader.rows(f"SELECT * FROM view_instance('async_events', '{process.process_id}')", time_range)
            _check_hashes(rows)
            expected = [async_event_row(event) for event in async_events(process, delivery.blocks, time_range)]
            assert in_any_order(without(rows, "hash")) == in_any_order(expected)


@effort(16)
@given(delivery=deliveries(), data=st.data())
def test_process_spans_are_those_of_the_model(
    lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject
) -> None:
    """The spans of all streams of the kind that was asked for."""
    with partitioned_like(delivery):
        deliver(lake, delivery)
        process = delivery.process
        span_types = data.draw(st.sampled_from(["thread", "async", "both"]))
        time_range = data.draw(st.none() | time_ranges(_all_spans(delivery)))
        rows = reader.rows(f"SELECT * FROM process_spans('{process.process_id}', '{span_types}')", time_range)
        _check_hashes(rows)
        expected = process_span_rows(process, delivery.blocks, span_types, time_range)
        assert in_any_order(without(rows, "hash")) == in_any_order(expected)
