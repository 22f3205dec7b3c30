"""The tree of stretches: which there are, and which of them answer for a time range."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.strategies import effort
from udtf.errors import CorruptData
from udtf.lake import history
from udtf.lake.history import Histories, StretchKey, completed_by, largest_stretches
from udtf.lake.metadata import HistoryRow, SegmentRow, StretchRow
from udtf.lake.sealed import join_parts, seal
from udtf.lake.time_range import TimeRange

FAN_OUTS = st.sampled_from([2, 3, 8])


@pytest.fixture
def fan_out() -> Iterator[Callable[[int], None]]:
    with ExitStack() as stack:
        yield lambda number: stack.enter_context(patch.object(history, "FAN_OUT", number))


def _segments_of(stretches: list[StretchKey]) -> list[int]:
    return [number for key in stretches for number in range(key.first_segment, key.end_segment)]


@effort(80)
@given(fan_out_of=FAN_OUTS, nb_segments=st.integers(0, 3000))
def test_the_largest_stretches_are_all_segments_in_few_pieces(
    fan_out: Callable[[int], None], fan_out_of: int, nb_segments: int
) -> None:
    """In order, each once, larger ones first: fewer than the fan-out of each size, as digits of a number are."""
    fan_out(fan_out_of)
    stretches = largest_stretches(nb_segments)
    assert _segments_of(stretches) == list(range(nb_segments))
    assert all(key.first_segment % key.nb_segments == 0 for key in stretches)
    sizes = [key.nb_segments for key in stretches]
    assert sizes == sorted(sizes, reverse=True)
    assert all(sizes.count(size) < fan_out_of for size in sizes)


@effort(20)
@given(fan_out_of=FAN_OUTS, nb_segments=st.integers(0, 600))
def test_stretches_are_complete_with_their_last_segment(
    fan_out: Callable[[int], None], fan_out_of: int, nb_segments: int
) -> None:
    """Segment by segment, what is completed takes the place of its children, smaller ones before larger ones; what is
    left is the largest stretches, so nothing is missing when a history is opened again."""
    fan_out(fan_out_of)
    largest: list[StretchKey] = []
    for number in range(nb_segments):
        largest.append(StretchKey(1, number))
        for key in completed_by(number):
            children = key.children()
            assert largest[-len(children) :] == children
            assert {child.parent for child in children} == {key}
            largest[-len(children) :] = [key]
    assert largest == largest_stretches(nb_segments)


@dataclass
class _Rows:
    """A metadata store that has the stretches of one process, and notes how many it was asked for."""

    rows: dict[StretchKey, SegmentRow | StretchRow]
    asked: int = 0

    def stretches(self, process_id: str, keys: list[StretchKey]) -> list[SegmentRow | StretchRow]:
        self.asked += len(keys)
        return [self.rows[key] for key in keys if key in self.rows]

    def check_history(self, history: HistoryRow) -> None:
        pass


def _store(times: list[tuple[int, int, int]]) -> _Rows:
    """Segments of given begins, lengths and numbers of events, and the stretches that they complete."""
    index = seal(join_parts({}))
    rows: dict[StretchKey, SegmentRow | StretchRow] = {}
    for number, (begin, length, nb_events) in enumerate(times):
        rows[StretchKey(1, number)] = SegmentRow(
            "p", number, begin, begin + length, nb_events, "hash", "key", 0, 0, 0, index, index
        )
        for key in completed_by(number):
            children = [rows[child] for child in key.children()]
            rows[key] = StretchRow(
                "p",
                key.nb_segments,
                key.first_segment,
                min(child.begin_time for child in children),
                max(child.end_time for child in children),
                sum(child.nb_events for child in children),
                "hash",
                index,
            )
    return _Rows(rows)


def _history(nb_segments: int, first_segment: int = 0) -> HistoryRow:
    return HistoryRow("p", 0, first_segment, nb_segments, 0, None, None, 0)


SEGMENTS = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from([0, 1, 5, 100]), st.sampled_from([1, 10, 50, 200])), max_size=80
)


@effort(60)
@given(
    fan_out_of=FAN_OUTS,
    segments=SEGMENTS,
    in_time=st.booleans(),
    max_events=st.sampled_from([1, 100, 1000]),
    ends=st.tuples(st.integers(-10, 420), st.integers(-10, 420)),
    data=st.data(),
)
def test_a_cover_has_every_segment_once(
    fan_out: Callable[[int], None],
    fan_out_of: int,
    segments: list[tuple[int, int, int]],
    in_time: bool,
    max_events: int,
    ends: tuple[int, int],
    data: st.DataObject,
) -> None:
    """Units touch the range and are small, unless they are one segment, and have nothing that was removed; all else
    that touches it was removed, and is told. Whatever order segments came in."""
    fan_out(fan_out_of)
    times = sorted(segments) if in_time else segments
    first_segment = data.draw(st.integers(0, len(times)))
    time_range = TimeRange(min(ends), max(ends))
    with patch.object(history, "MAX_PARTITION_EVENTS", max_events):
        cover = Histories(_store(times), 1 << 20).cover(_history(len(times), first_segment), time_range)  # type: ignore[arg-type]
    assert sorted(_segments_of([stretch.key for stretch in cover.units + cover.others])) == list(range(len(times)))
    for unit in cover.units:
        assert unit.overlaps(time_range)
        assert unit.key.nb_segments == 1 or unit.nb_events <= max_events
        assert unit.key.first_segment >= first_segment
    touching = [
        number
        for number, (begin, length, _) in enumerate(times)
        if begin <= time_range.end_ns and begin + length >= time_range.begin_ns
    ]
    in_units = set(_segments_of([unit.key for unit in cover.units]))
    assert set(touching) - in_units == {number for number in touching if number < first_segment}
    # Of a removed stretch only its whole extent is known, so more may be told than touched the range, never less.
    assert cover.removed >= any(number < first_segment for number in touching)
    assert all(a.begin_time <= b.begin_time for a, b in pairwise(cover.units))


@pytest.mark.parametrize("nb_segments", [600, 6_000, 60_000])
def test_a_cover_of_a_short_range_looks_at_few_stretches(nb_segments: int) -> None:
    """Those of the range, and the siblings on the way down: a logarithm of the history."""
    store = _store([(10 * number, 10, 5000) for number in range(nb_segments)])
    middle = 10 * (nb_segments // 2)
    cover = Histories(store, 1 << 24).cover(_history(nb_segments), TimeRange(middle, middle + 300))  # type: ignore[arg-type]
    levels = len(str(oct(nb_segments))) - 2
    assert len(cover.units) <= 40
    assert store.asked <= 2 * history.FAN_OUT * levels


def test_a_stretch_that_is_missing_is_told() -> None:
    """By the numbers of its segments."""
    store = _store([(number, 1, 1) for number in range(20)])
    del store.rows[StretchKey(8, 8)]
    with pytest.raises(CorruptData, match="no segments 8 to 15"):
        Histories(store, 1 << 20).cover(_history(20), TimeRange(0, 100))  # type: ignore[arg-type]
