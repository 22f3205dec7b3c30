"""What single limits and caches are worth, and all optimizations together: `python -m benchmarks.phases THREADS SPANS`
(spans of each thread).

In this process, without server and client: the product, the product with one thing taken away, and the naive way, each
cold (a fresh copy of the lake), cold cache (partitions exist, a new lake object) and warm, on the local disk.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.baseline.trace import NAIVE, NO_CACHES, naive_trace
from benchmarks.lakes import WARM_UP, Shape, Workbench
from benchmarks.results import markdown_table
from udtf.lake.lake import Lake
from udtf.lake.settings import LakeSettings
from udtf.settings import QuerySettings
from udtf.sql.engine import QueryEngine

STATES = ("cold", "cold cache", "warm")
RUNS = 3


@dataclass(frozen=True)
class Way:
    """A way to make a trace; `trace` exhausts it."""

    name: str
    lake: LakeSettings
    trace: Callable[[Lake, str], object]


def _product(settings: QuerySettings) -> Callable[[Lake, str], object]:
    def trace(lake: Lake, process_id: str) -> object:
        engine = QueryEngine(lake, settings)
        sql = (
            f"SELECT chunk_data FROM perfetto_trace_chunks('{process_id}', 'both', "
            "TIMESTAMP '1970-01-01T00:00:00Z', TIMESTAMP '2200-01-01T00:00:00Z')"
        )
        try:
            return sum(batch.num_rows for batch in engine.plan(sql).batches())
        finally:
            engine.close()

    return trace


ONE_SCAN = QuerySettings(max_scans=1)
WAYS = (
    Way("product", LakeSettings(), _product(QuerySettings())),
    Way("one scan at a time", LakeSettings(), _product(ONE_SCAN)),
    Way("one build at a time", LakeSettings(max_builds=1), _product(QuerySettings())),
    Way("no caches of partitions", LakeSettings(caches=NO_CACHES), _product(QuerySettings())),
    Way("none of these three", NAIVE, _product(ONE_SCAN)),
    Way("naive", NAIVE, lambda lake, process_id: sum(map(len, naive_trace(lake, process_id)))),
)


def times_ms(bench: Workbench, shape: Shape, way: Way) -> dict[str, float]:
    """The best run of each of `STATES`."""
    runs = [dict(zip(STATES, _run(bench, shape, way), strict=True)) for _ in range(RUNS)]
    return {state: min(run[state] for run in runs) for state in STATES}


def _run(bench: Workbench, shape: Shape, way: Way) -> Iterator[float]:
    with bench.fresh_copy(shape) as folder:
        yield from _traces_ms(folder, shape, way, 1)
        yield from _traces_ms(folder, shape, way, 2)


def _traces_ms(folder: Path, shape: Shape, way: Way, traces: int) -> Iterator[float]:
    """So many traces of one lake object, whose code a tiny process has loaded."""
    lake = Lake.open(str(folder), settings=way.lake)
    try:
        way.trace(lake, WARM_UP)
        for _ in range(traces):
            begin_ns = time.perf_counter_ns()
            way.trace(lake, shape.process_id)
            yield (time.perf_counter_ns() - begin_ns) / 1e6
    finally:
        lake.close()


def main() -> None:
    """Print a table: milliseconds, and how many times longer than the product."""
    shape = Shape(int(sys.argv[1]), int(sys.argv[2]))
    bench = Workbench(Path(__file__).parent / "out")
    taken = {way.name: times_ms(bench, shape, way) for way in WAYS}
    rows = [
        (name, *(f"{ms[state]:.1f} ms ({ms[state] / taken['product'][state]:.2f} x)" for state in STATES))
        for name, ms in taken.items()
    ]
    print(markdown_table(("way", *STATES), rows))


if __name__ == "__main__":
    main()
