"""Every question gets its answer, those about traces from real servers of tiny processes."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from benchmarks import stores
from benchmarks.counting_server import statements
from benchmarks.fleet import Fleet, measure_fleet
from benchmarks.lakes import WARM_UP_ID, Workbench
from benchmarks.questions import (
    builders,
    cold_trace,
    following,
    hour,
    import_time,
    ingestion,
    late_telemetry,
    many_threads,
    memory,
    million_blocks,
    minute_of_day,
    minute_of_hour,
    mixed_clients,
    other_processes,
    parallel_traces,
    peak_memory,
    remote_scans,
    small_trace,
    span_recording,
    sql,
    unit_costs,
    warm_trace,
)
from benchmarks.recordings import FLUSH_S, Among, Live, Whole
from benchmarks.registry import DEFAULT, LONG, QUESTIONS
from benchmarks.results import Result
from benchmarks.sender import Sent, SentProcess
from benchmarks.senders import SenderFailed, acknowledged, lost_events, senders
from benchmarks.servers import TimedTrace, WrongTrace, check_equal, flightsrv_server, serving
from benchmarks.syscalls import counted_syncs

TINY = Whole(threads=2, spans_per_thread=40)
LIVE = Live(flushes=60, threads=2, spans_per_flush=3)
SHORT = Live(flushes=4, threads=2, spans_per_flush=3)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("benchmarks"))


STATES = ("cold", "warm")
ANSWERS: dict[str, tuple[Callable[[Workbench], Iterable[Result]], set[str]]] = {
    "warm_trace": (
        lambda bench: warm_trace.measure(bench, TINY, runs=2),
        {"warm trace", "first chunk, warm", "trace size"},
    ),
    "cold_trace": (lambda bench: cold_trace.measure(bench, TINY, runs=1), {"cold trace", "first chunk, cold"}),
    "small_trace": (lambda bench: small_trace.measure(bench, TINY, runs=2), {"50 threads x 100 spans, warm"}),
    "minute_of_hour": (
        lambda bench: minute_of_hour.measure(bench, LIVE, cold_runs=1, warm_runs=1),
        {
            *(f"{part} of an hour, {state}" for part in ("minute", "ten ms") for state in STATES),
            *(f"{part} of an hour, first chunk, {state}" for part in ("minute", "ten ms") for state in STATES),
            "minute of an hour, cold, requests to the store",
        },
    ),
    "hour": (
        lambda bench: hour.measure(bench, LIVE, cold_runs=1, warm_runs=1),
        {*(f"hour, {state}" for state in STATES), *(f"hour, first chunk, {state}" for state in STATES)},
    ),
    "minute_of_day": (
        lambda bench: minute_of_day.measure(bench, Live(60, 2, 3, repeats=2), LIVE, runs=1),
        {f"minute of a day, against one of an hour, {state}" for state in STATES},
    ),
    "million_blocks": (
        lambda bench: million_blocks.measure(bench, LIVE, runs=1),
        {"memory kept for a process of a million blocks"},
    ),
    "following": (
        lambda bench: following.measure(bench, Live(following.MINUTE + 2, 2, 3)),
        {"last minute, after one more upload"},
    ),
    "late_telemetry": (
        lambda bench: late_telemetry.measure(
            bench, Live(90, 2, 3), Live(90, 2, 3, arrival="late"), Live(90, 2, 3, arrival="away"), runs=1
        ),
        {
            *(f"minute of late blocks, against in order, {state}" for state in STATES),
            *(f"minute sent with nine others at once, against in order, {state}" for state in STATES),
        },
    ),
    "other_processes": (
        lambda bench: other_processes.measure(bench, Among(LIVE, 2, SHORT), runs=1),
        {f"minute among 100 processes, against alone, {state}" for state in STATES},
    ),
    "ingestion": (
        lambda bench: ingestion.measure(bench, SHORT, Live(2, 1, 50), seconds=0.5, runs=1),
        {
            "ingestion of small blocks",
            "ingestion of small blocks, requests to the store",
            "ingestion of large blocks",
        },
    ),
    "many_threads": (
        lambda bench: many_threads.measure(bench, TINY, runs=1),
        {f"500 threads x 200 spans, cold, {title}" for title, *_ in many_threads.STORES},
    ),
    "remote_scans": (
        lambda bench: remote_scans.measure(bench, TINY, runs=1, latency_ms=1),
        {"warm trace of a remote store, against one scan at a time"},
    ),
    "memory": (
        lambda bench: memory.measure(bench, TINY, runs=1),
        {"memory of an idle server", "memory of a server after warm traces"},
    ),
    "peak_memory": (
        lambda bench: peak_memory.measure(bench, TINY, Whole(2, 60), runs=1),
        {f"extra peak memory of 10 M spans over 1 M, {state}" for state in STATES},
    ),
    "parallel_traces": (
        lambda bench: parallel_traces.measure(bench, TINY, runs=1),
        {
            *(f"extra peak memory of 8 traces at once, {state}" for state in STATES),
            "8 traces at once, against one after the other",
            "first chunk of the slowest of 8 traces at once",
        },
    ),
    "builders": (
        lambda bench: builders.measure(bench, TINY, processes=[1], workers=[2], latency_ms=1),
        {"cold trace built by 1 processes", "cold trace built by 2 Dask workers, 1 ms per request"},
    ),
    "mixed_clients": (
        lambda bench: mixed_clients.measure(bench, LIVE, seconds=2, sent=SHORT, clients=16),
        {
            "16 mixed clients",
            *(f"16 mixed clients: {kind.name}" for kind in mixed_clients._kinds(LIVE, 1)),
        },
    ),
    "sql": (
        lambda bench: sql.measure(bench, TINY, runs=1),
        {f"SQL: {name}" for name in (*sql.STATEMENTS, "one thread by name", "row of a process")},
    ),
    "unit_costs": (
        lambda bench: unit_costs.measure(bench, tiny=Live(66, 2, 3)),
        {
            "tiny, sent",
            "tiny, in: server CPU",
            "tiny, in: requests to the store",
            "tiny, in: bytes written to the store",
            *(f"tiny, stored: {figure}" for figure in ("objects", "segments", "rows", "lists of blocks")),
            *(f"tiny, stored: {figure}" for figure in ("indexes of segments", "indexes of stretches")),
            "tiny, stored: database (SQLite)",
            *(f"tiny, {trace}: server CPU" for trace in ("first trace", "trace again")),
            *(f"tiny, {trace}: requests to the store" for trace in ("first trace", "trace again")),
            *(f"tiny, {trace}: bytes read from the store" for trace in ("first trace", "trace again")),
            "tiny, trace",
            "tiny, built: partitions",
            "tiny, built: files of partitions",
        },
    ),
    "span_recording": (lambda bench: span_recording.measure(bench, runs=2), {"recording one span"}),
    "import_time": (lambda bench: import_time.measure(bench, runs=1), {"import of the tracing library"}),
}


@pytest.mark.parametrize(("measure", "names"), ANSWERS.values(), ids=ANSWERS)
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
    """The command line knows each module of `questions` by its name, and each is asked here but for one whose program
    has a fixed length."""
    folder = Path(__file__).parents[2] / "benchmarks" / "questions"
    assert set(QUESTIONS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert set(ANSWERS) == set(QUESTIONS) - {"span_kinds"}
    assert not set(DEFAULT) & set(LONG)


def test_every_store_shows_the_same_trace(bench: Workbench) -> None:
    """A folder, one with latency, and a simulator of S3: each twice, as a new lake is one where nothing is
    materialized."""
    traces = []
    for store in (stores.local, lambda bench: stores.slow(bench, latency_ms=1), stores.s3):
        with store(bench) as fresh_server:
            for _ in range(2):
                with fresh_server(TINY) as server:
                    built = server.client.query(
                        f"SELECT count(*) AS n FROM list_partitions() WHERE process_id = '{TINY.process_id}'"
                    )
                    assert built["n"].to_pylist() == [0]
                    traces.append(server.trace(TINY.process_id))
    check_equal(traces)


def test_latency_is_added_to_each_request(bench: Workbench) -> None:
    """A cold trace reads telemetry and stores a partition, at the very least."""
    with stores.slow(bench, latency_ms=200) as fresh_server, fresh_server(TINY) as server:
        before = server.store_use()
        trace = server.trace(TINY.process_id)
        assert (server.store_use() - before).requests >= 2
    assert trace.complete_ms >= 200


def test_statements_are_counted(bench: Workbench, tmp_path: Path) -> None:
    """A question to the metadata takes some, and one without any telemetry none."""
    with bench.fresh_copy(TINY) as lake:
        count = tmp_path / "statements"
        module = ["benchmarks.counting_server", str(count)]
        with serving(module, ["--lake", str(lake)], tmp_path / "log") as server:
            before = statements(count)
            server.client.query("SELECT 1")
            assert statements(count) == before
            server.client.query("SELECT * FROM processes")
            assert statements(count) > before


def test_syncs_are_counted(bench: Workbench) -> None:
    """Whatever is acknowledged was synced, and a question syncs nothing."""
    with bench.folder("syncs-") as folder, flightsrv_server(folder / "lake", warm_up=False) as server:
        uploads = list(SHORT.uploads())
        for upload in uploads[:-1]:
            server.client.ingest(*upload)
        with counted_syncs(server.pids()) as of_an_upload:
            server.client.ingest(*uploads[-1])
        with counted_syncs(server.pids()) as of_a_question:
            server.client.query("SELECT * FROM processes")
        with counted_syncs([]) as of_nothing:
            pass
    assert of_an_upload.count is not None
    assert of_an_upload.count > 0
    assert of_a_question.count == 0
    assert of_nothing.count is None


def test_senders_by_the_clock_send_what_is_due(bench: Workbench) -> None:
    """Two programs of two processes each, for two intervals: SQL shows what they say."""
    with (
        bench.folder("senders-") as folder,
        flightsrv_server(folder / "lake", warm_up=False) as server,
        senders(server.url, 2, SHORT, seconds=2.5 * FLUSH_S, processes=2) as waiting,
    ):
        waiting.begin()
        sent = waiting.sent()
        assert [each.due for each in sent] == [4, 4]
        assert acknowledged(sent) == sum(len(each.late_ms) for each in sent) <= 8
        assert lost_events(server, sent, SHORT) == 0
        for process in (process for each in sent for process in each.processes):
            beginning = SHORT.window(0, process.acknowledged * FLUSH_S)
            server.check_spans(process.process_id, SHORT.spans_within(beginning))


def test_lost_events_are_found(bench: Workbench) -> None:
    """Those of an upload that was acknowledged and is not there, and of a process that nobody knows."""
    with bench.fresh_copy(SHORT) as lake, flightsrv_server(lake) as server:
        more = SentProcess(SHORT.process_id, 0, acknowledged=SHORT.flushes + 1)
        unknown = SentProcess("unknown", 0, acknowledged=2)
        assert lost_events(server, [Sent([SentProcess(SHORT.process_id, 0, SHORT.flushes)])], SHORT) == 0
        assert lost_events(server, [Sent([more, unknown])], SHORT) == 3 * SHORT.threads * SHORT.spans_per_flush * 2


def test_a_sender_that_fails_is_told(bench: Workbench) -> None:
    """It is no run in which little was sent."""
    with bench.fresh_copy(TINY) as lake, flightsrv_server(lake) as server:
        url = server.url
    with senders(url, 1, SHORT, seconds=1) as waiting:
        waiting.begin()
        with pytest.raises(SenderFailed, match="exit code 1"):
            waiting.sent()


def test_a_fleet_is_measured(bench: Workbench) -> None:
    """What was acknowledged is there, and processes are looked at while they send and afterwards."""
    results = {result.name: result for result in measure_fleet(bench, Fleet(4, 2, seconds=9.0), look_every_s=1.0)}
    assert {name for name in results if "minute" in name} == {
        f"fleet: last minute, {state}, {when}" for state in STATES for when in ("while they send", "quiet")
    }
    assert results["fleet: events lost"].value == 0
    assert results["fleet: events lost"].details["acknowledged"] > 0
    assert 0 < results["fleet: uploads acknowledged, of those due"].value <= 100


def test_memory_and_processor_time_are_of_workers_too(bench: Workbench) -> None:
    """A server has some of both before it is asked anything, and more afterwards."""
    with bench.fresh_copy(TINY) as lake, flightsrv_server(lake, warm_up=False) as server:
        idle_bytes, idle_s = server.memory_bytes(), server.cpu_seconds()
        server.trace(WARM_UP_ID)
        assert len(server.pids()) > 1
        assert 0 < idle_bytes < server.memory_bytes()
        assert 0 < idle_s < server.cpu_seconds()
