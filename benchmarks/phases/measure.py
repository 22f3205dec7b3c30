"""How long traces take by each way to make them, on each store and in each state.

Inside one process, without server and client. A trace is cold when nothing is materialized; cold cache when its
partitions exist and a new lake object knows nothing of them; warm when that has made the same trace before. Code is
loaded by a trace of another, tiny process.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from benchmarks.lakes import ASYNC, MANY_THREADS, MEDIUM, MILLION, WARM_UP, Shape
from benchmarks.phases.stores import OpenLake, Store
from benchmarks.phases.switches import ASYNC_SCAN, EVERYTHING, NOTHING, PHASES, UPDATES_FIRST, Switches
from benchmarks.phases.trace import composed_trace
from benchmarks.results import Result
from benchmarks.servers import WrongTrace
from udtf.lake.lake import THREAD_SPANS, Lake
from udtf.lake.settings import LakeSettings
from udtf.settings import QuerySettings
from udtf.sql.engine import QueryEngine
from udtf.time_range import WHOLE_LIFE

STATES = ("cold", "cold cache", "warm")
MAX_RUNS = 5

Chunk = bytes | memoryview
MakeTrace = Callable[[Lake, QueryEngine, str, str], Iterator[Chunk]]
"""The chunks of a trace, of a process and span types."""


@dataclass(frozen=True)
class Way:
    """A way to make a trace. All ways show the same slices; those of one `kin` have the same bytes."""

    title: str
    lake_settings: LakeSettings
    make_trace: MakeTrace = field(repr=False)
    kin: str
    query_settings: QuerySettings = field(default_factory=QuerySettings)


def _composed(title: str, switches: Switches, kin: str = "") -> Way:
    def make_trace(lake: Lake, _: QueryEngine, process_id: str, span_types: str) -> Iterator[Chunk]:
        return composed_trace(lake, process_id, span_types, switches)

    return Way(title, switches.lake_settings, make_trace, kin or title)


def _product(_: Lake, engine: QueryEngine, process_id: str, span_types: str) -> Iterator[Chunk]:
    sql = (
        f"SELECT chunk_data FROM perfetto_trace_chunks('{process_id}', '{span_types}', "
        "TIMESTAMP '1970-01-01T00:00:00Z', TIMESTAMP '2200-01-01T00:00:00Z')"
    )
    for batch in engine.plan(sql).batches():
        for chunk in batch.column(0):
            yield memoryview(chunk.as_buffer())


def _updates_in_turn(lake: Lake, _: QueryEngine, process_id: str, span_types: str) -> Iterator[Chunk]:
    for stream in lake.view(THREAD_SPANS, lake.telemetry_of(process_id), WHOLE_LIFE).streams:
        stream.finish_update()
    yield b""


def _updates_at_once(lake: Lake, _: QueryEngine, process_id: str, span_types: str) -> Iterator[Chunk]:
    view = lake.view(THREAD_SPANS, lake.telemetry_of(process_id), WHOLE_LIFE)
    view.start_update()
    for stream in view.streams:
        stream.finish_update()
    yield b""


PRODUCT = Way("product", LakeSettings(), _product, kin="everything")
NAIVE = _composed("naive", NOTHING)
SCANS_AT_ONCE = {
    scans: replace(PRODUCT, title=f"product, {scans} scans at once", query_settings=QuerySettings(max_scans=scans))
    for scans in (1, 2, 4, 8, 16, 32)
}
ALL = _composed("everything", EVERYTHING, kin="everything")
FIRST = _composed("everything, all updates before all scans", UPDATES_FIRST, kin="everything")
ALONE = {phase: _composed(f"naive + {phase.title}", phase.alone()) for phase in PHASES}
REST = {phase: _composed(f"everything - {phase.title}", phase.taken_away()) for phase in PHASES}
# Partitions without a trace: what phase 2 is about. Only cold there is something to do.
UPDATES_IN_TURN = Way("partitions one after the other", LakeSettings(max_builds=1), _updates_in_turn, kin="partitions")
UPDATES_AT_ONCE = Way("partitions at once", LakeSettings(), _updates_at_once, kin="partitions")


@dataclass(frozen=True)
class Part:
    """What is measured of one process."""

    shape: Shape
    span_types: str
    ways: tuple[Way, ...]


_OF_THREADS = tuple(phase for phase in PHASES if phase is not ASYNC_SCAN)
MATERIALIZATION = Part(MILLION, "thread", (UPDATES_IN_TURN, UPDATES_AT_ONCE))
PARTS = (
    MATERIALIZATION,
    Part(MILLION, "both", (NAIVE, PRODUCT, ALL, FIRST, *(REST[phase] for phase in _OF_THREADS))),
    Part(MEDIUM, "both", (NAIVE, *(ALONE[phase] for phase in _OF_THREADS))),
    Part(ASYNC, "async", (NAIVE, ALONE[ASYNC_SCAN], REST[ASYNC_SCAN], ALL)),
    Part(MANY_THREADS, "both", (NAIVE, PRODUCT)),
    Part(MILLION, "both", tuple(SCANS_AT_ONCE.values())),
)


def figure_name(shape: Shape, store: str, way: Way, state: str) -> str:
    """What the result is called that has the times of one way on one store in one state."""
    return f"{shape}, {store}, {way.title}, {state}"


def measure(part: Part, store: Store, seconds: float) -> list[Result]:
    """Milliseconds of complete traces. Ways take turns; each is run again, up to `MAX_RUNS` times, until it has
    taken so many seconds.

    Raises:
        WrongTrace: two traces that should have the same bytes have not.
    """
    runs: dict[Way, list[list[TimedChunks]]] = {way: [] for way in part.ways}
    digests: dict[str, str] = {}
    spent_s = dict.fromkeys(part.ways, 0.0)
    for _ in range(MAX_RUNS):
        for way in part.ways:
            if runs[way] and spent_s[way] >= seconds:
                continue
            begin_s = time.perf_counter()
            runs[way].append(list(_traces(part, store, way)))
            spent_s[way] += time.perf_counter() - begin_s
            for trace in runs[way][-1]:
                if digests.setdefault(way.kin, trace.digest) != trace.digest:
                    raise WrongTrace(f"{way.title} on {store.title}: another trace of {part.shape} than before")
    return [
        Result(
            figure_name(part.shape, store.title, way, state),
            "ms",
            None,
            tuple(run[number].complete_ms for run in of_way),
            {"ms to the first spans": min(run[number].first_spans_ms for run in of_way)},
        )
        for way, of_way in runs.items()
        for number, state in enumerate(STATES)
    ]


@dataclass(frozen=True)
class TimedChunks:
    """A trace; times count from the call. The first chunk describes tracks, the second one has spans."""

    first_spans_ms: float
    complete_ms: float
    digest: str


def _traces(part: Part, store: Store, way: Way) -> Iterator[TimedChunks]:
    """One trace for each of `STATES`."""
    with store.fresh_lake(part.shape) as open_lake:
        with _opened(open_lake, part, way) as trace:
            yield trace()
        with _opened(open_lake, part, way) as trace:
            yield trace()
            yield trace()


@contextmanager
def _opened(open_lake: OpenLake, part: Part, way: Way) -> Iterator[Callable[[], TimedChunks]]:
    """What traces the process of a part, on a new lake object whose code is loaded."""
    with closing(open_lake(way.lake_settings)) as lake, closing(QueryEngine(lake, way.query_settings)) as engine:
        _timed(way.make_trace(lake, engine, WARM_UP, part.span_types))
        yield lambda: _timed(way.make_trace(lake, engine, part.shape.process_id, part.span_types))


def _timed(chunks: Iterable[Chunk]) -> TimedChunks:
    begin_ns = time.perf_counter_ns()
    came_ns: list[int] = []
    kept: list[Chunk] = []
    for chunk in chunks:
        kept.append(chunk)
        if len(came_ns) < 2:
            came_ns.append(time.perf_counter_ns())
    complete_ns = time.perf_counter_ns()
    digest = hashlib.blake2b(digest_size=16)
    for chunk in kept:
        digest.update(chunk)
    return TimedChunks((came_ns[-1] - begin_ns) / 1e6, (complete_ns - begin_ns) / 1e6, digest.hexdigest())
