"""Phases are measured on traces that all show the same slices, and what was measured reaches tables and plots."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from benchmarks.__main__ import main
from benchmarks.baseline.trace import naive_trace
from benchmarks.lakes import Shape, Workbench
from benchmarks.phases.factors import Figures
from benchmarks.phases.measure import (
    ALL,
    ALONE,
    MATERIALIZATION,
    NAIVE,
    PARTS,
    PRODUCT,
    REST,
    STATES,
    Chunk,
    Part,
    Way,
    measure,
)
from benchmarks.phases.plots import draw
from benchmarks.phases.stores import STORE_TITLES, STORES, Store, local_store
from benchmarks.phases.tables import tables
from benchmarks.results import Result, write_results
from benchmarks.servers import WrongTrace
from tests.model.trace_reader import Slice, read_trace
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine

SHAPE = Shape(threads=4, spans_per_thread=150, async_spans=400)
WAYS = {way.title: way for part in PARTS if part is not MATERIALIZATION for way in part.ways}
TINY_WAYS = (NAIVE, ALL, PRODUCT)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("phases"))


@pytest.fixture(scope="module")
def store(bench: Workbench) -> Iterator[Store]:
    with local_store(bench) as store:
        yield store


@pytest.fixture(scope="module")
def baseline(store: Store) -> bytes:
    """The trace of the naive way as a whole."""
    with store.fresh_lake(SHAPE) as open_lake, closing(open_lake(NAIVE.lake_settings)) as lake:
        return _joined(naive_trace(lake, SHAPE.process_id))


def _joined(chunks: Iterable[Chunk]) -> bytes:
    return b"".join(chunks)


def _traces(store: Store, way: Way, count: int = 1) -> list[bytes]:
    """As many traces of one lake object; nothing was materialized before."""
    with store.fresh_lake(SHAPE) as open_lake, closing(open_lake(way.lake_settings)) as lake:
        return [_trace(lake, way) for _ in range(count)]


def _trace(lake: Lake, way: Way) -> bytes:
    with closing(QueryEngine(lake, way.query_settings)) as engine:
        return _joined(way.make_trace(lake, engine, SHAPE.process_id, "both"))


def _slices(data: bytes) -> tuple[dict[int, list[tuple[object, ...]]], list[tuple[object, ...]]]:
    """Of each thread's track in their order, and of async spans, on whatever lanes they are."""
    trace = read_trace(data)
    threads = {track.uuid: [(s.depth, *_span(s)) for s in track.slices] for track in trace.thread_tracks}
    return threads, sorted(_span(s) for lane in trace.lanes for s in lane.slices)


def _span(s: Slice) -> tuple[object, ...]:
    return s.begin_ns, s.duration_ns, s.name, s.source


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_shows_the_same_slices(way: Way, store: Store, baseline: bytes) -> None:
    """Cold and warm, names, places, times and depths are those of the naive way."""
    expected = _slices(baseline)
    assert sum(map(len, expected[0].values())) == SHAPE.spans
    assert len(expected[1]) == SHAPE.async_spans
    cold, warm = _traces(store, way, 2)
    assert _slices(cold) == expected
    assert warm == cold


def test_no_phase_is_the_baseline_and_all_of_them_are_the_product(store: Store, baseline: bytes) -> None:
    """Byte for byte: what is put together from techniques adds and misses nothing."""
    assert _traces(store, NAIVE) == [baseline]
    assert _traces(store, ALL) == _traces(store, PRODUCT)


def test_each_phase_is_measured_alone_and_beside_the_others() -> None:
    """No phase is left out."""
    assert set(ALONE.values()) | set(REST.values()) <= set(WAYS.values())
    assert len(ALONE) == len(REST) == 7


@pytest.fixture(scope="module")
def results(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Of a tiny process, on every store, in place of those that take minutes."""
    results = []
    for make_store in STORES.values():
        with make_store(bench) as store:
            results += measure(Part(SHAPE, "both", TINY_WAYS), store, 0)
    return results


@pytest.mark.slow
def test_every_store_gives_the_same_trace_in_every_state(results: list[Result]) -> None:
    """Local, with latency, and S3: measuring has compared the bytes of all."""
    assert [result.name for result in results] == [
        f"{SHAPE}, {store}, {way.title}, {state}" for store in STORE_TITLES for way in TINY_WAYS for state in STATES
    ]
    assert all(len(result.samples) == 1 for result in results)


def test_wrong_traces_have_no_speed(store: Store) -> None:
    """A way that does not give the same bytes each time is not measured."""
    numbers = iter(range(100))

    def different(*_: object) -> Iterator[Chunk]:
        yield b"start"
        yield str(next(numbers)).encode()

    with pytest.raises(WrongTrace, match="another trace"):
        measure(Part(SHAPE, "both", (replace(NAIVE, make_trace=different),)), store, 0)


def _made_up_results() -> list[Result]:
    """Naive ways take 100 ms, others 40 ms."""
    return [
        Result(
            f"{part.shape}, {store}, {way.title}, {state}",
            "ms",
            None,
            (100.0 if way is NAIVE else 40.0, 120.0),
            {"ms to the first spans": 7.0},
        )
        for part in PARTS
        for store in STORE_TITLES[:2]
        for way in part.ways
        for state in STATES
    ]


def test_tables_show_best_runs_and_leave_out_what_was_not_measured() -> None:
    """Before, after and their factor; no table of a store that nobody measured."""
    text = tables(Figures(_made_up_results()))
    assert text.count("100 to 40 ms, **2.50 x**") == 3 * 2 * (2 + 7)
    assert text.count("40 to 40 ms, **1.00 x**") == 3 * 2 * 7 + 2 * 4
    assert text.count("40 ms, first spans 7 ms") == 2 * 3
    assert STORE_TITLES[2] not in text
    assert tables(Figures([])) == ""


def test_plots_are_pictures(tmp_path: Path) -> None:
    """One for each kind of table, large enough to read; none where nothing was measured."""
    paths = draw(Figures(_made_up_results()), tmp_path)
    assert [path.name for path in paths] == ["against_naive.png", "hopes.png", "alone.png", "beside_others.png"]
    for path in paths:
        height, width, _ = imread(path).shape
        assert height > 400
        assert width > 800
    assert draw(Figures([]), tmp_path) == []


def test_results_of_before_are_shown_again(tmp_path: Path) -> None:
    """Tables and plots come from the JSON that measuring wrote."""
    write_results(tmp_path / "before.json", _made_up_results())
    command = ["phases", "--measured", str(tmp_path / "before.json"), "--output", str(tmp_path / "again" / "it.json")]
    shown = CliRunner().invoke(main, command, catch_exceptions=False)
    assert shown.exit_code == 0
    assert shown.stdout.strip() == tables(Figures(_made_up_results()))
    assert len(list((tmp_path / "again").glob("*.png"))) == 4
