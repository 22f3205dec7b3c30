"""Every question gets its answer, those about traces from real servers of tiny processes."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from benchmarks.lakes import Shape, Workbench
from benchmarks.questions import (
    cold_trace,
    import_time,
    parallel_traces,
    peak_memory,
    slow_store,
    small_trace,
    span_recording,
    sql,
    warm_trace,
)
from benchmarks.registry import QUESTIONS
from benchmarks.results import Result
from benchmarks.servers import TimedTrace, WrongTrace, check_equal, flightsrv_server

TINY = Shape(threads=2, spans_per_thread=40)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("benchmarks"))


@pytest.mark.parametrize(
    ("measure", "names"),
    [
        (
            lambda bench: warm_trace.measure(bench, TINY, runs=2),
            {"warm trace", "first chunk, warm", "trace size"},
        ),
        (lambda bench: cold_trace.measure(bench, TINY, runs=1), {"cold trace", "first chunk, cold"}),
        (lambda bench: small_trace.measure(bench, TINY, runs=2), {"50 threads x 100 spans, warm"}),
        (
            lambda bench: peak_memory.measure(bench, TINY, Shape(2, 60), runs=1),
            {"extra peak memory of 10 M spans over 1 M, cold", "extra peak memory of 10 M spans over 1 M, warm"},
        ),
        (
            lambda bench: slow_store.measure(bench, TINY, runs=1, latency_ms=1),
            {"store of 50 ms per request, cold, against one thread at a time"},
        ),
        (
            lambda bench: parallel_traces.measure(bench, TINY, runs=1),
            {
                "extra peak memory of 8 traces at once, cold",
                "extra peak memory of 8 traces at once, warm",
                "8 traces at once, against one after the other",
            },
        ),
        (lambda bench: sql.measure(bench, TINY, runs=1), {f"SQL: {name}" for name in sql.STATEMENTS}),
        (lambda bench: span_recording.measure(bench, runs=2), {"recording one span"}),
        (lambda bench: import_time.measure(bench, runs=1), {"import of the tracing library"}),
    ],
    ids=[
        *("warm_trace", "cold_trace", "small_trace", "peak_memory", "slow_store"),
        *("parallel_traces", "sql", "span_recording", "import_time"),
    ],
)
def test_a_question_is_answered(
    bench: Workbench, measure: Callable[[Workbench], Iterable[Result]], names: set[str]
) -> None:
    """Each figure of a question comes with its name, and none of its runs is missing."""
    results = list(measure(bench))
    assert {result.name for result in results} == names
    assert all(result.samples for result in results)


def test_no_server_is_left(bench: Workbench) -> None:
    """When its block ends, a server has ended and its copy of the lake is gone."""
    with bench.fresh_copy(TINY) as lake, flightsrv_server(lake) as server:
        server.check_spans(TINY.process_id, TINY.spans)
        assert Path(f"/proc/{server.pid}").exists()
    assert not Path(f"/proc/{server.pid}").exists()
    assert not lake.exists()


def test_wrong_traces_are_not_measured(bench: Workbench) -> None:
    """A server that does not show what is in its lake has no speed."""
    with (
        bench.fresh_copy(TINY) as lake,
        flightsrv_server(lake) as server,
        pytest.raises(WrongTrace, match="shows 80 spans, expected 82"),
    ):
        server.check_spans(TINY.process_id, TINY.spans + 2)
    with pytest.raises(WrongTrace, match="different traces"):
        check_equal([TimedTrace(1, 2, 3, 4, "one"), TimedTrace(1, 2, 3, 4, "another")])


def test_every_question_is_listed() -> None:
    """The command line knows each module of `questions` by its name."""
    folder = Path(__file__).parents[2] / "benchmarks" / "questions"
    assert set(QUESTIONS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
