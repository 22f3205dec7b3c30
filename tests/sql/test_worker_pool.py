"""Statements that go wild, in processes that end with them."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from tests.support.waiting import wait_until
from udtf.errors import InvalidArgument, LimitExceeded, Overloaded
from udtf.execution.cancellation import QueryCancelled
from udtf.execution.memory import resident_bytes
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.lake.lake import Lake
from udtf.lake.settings import MIB
from udtf.sql import worker_client
from udtf.sql.engine import QueryEngine
from udtf.sql.lake_tables import LakeTables
from udtf.sql.messages import Plan
from udtf.sql.panics import EnginePanic
from udtf.sql.worker_client import WorkerClient
from udtf.workers import pool, zygote
from udtf.workers.pool import MAX_IDLE

TIMEOUT_S = 60.0
FOREVER = "SELECT count(*) FROM generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) WHERE v * w % 7 = 9"
"""Never yields a row, nor anything else."""
LARGE_SORT = "SELECT v, arrow_cast(v, 'Utf8') AS t FROM generate_series(1, 3000000) g(v) ORDER BY t DESC"
"""Takes about 130 MiB, which are spilled where there is less."""


def rows(engine: QueryEngine, sql: str) -> list[dict[str, object]]:
    """All rows of a statement."""
    query = engine.plan(sql)
    return pa.Table.from_batches(list(query.batches()), query.schema).to_pylist()


def works(engine: QueryEngine) -> bool:
    """Whether the next statement finds everything in order."""
    return rows(engine, "SELECT sum(v) AS s FROM generate_series(1, 4) g(v)") == [{"s": 10}]


def zygotes() -> list[psutil.Process]:
    """The processes that workers of this one are forked from."""
    return [child for child in psutil.Process().children() if zygote.__name__ in child.cmdline()]


def worker_pids() -> set[int]:
    """The processes that were forked from them."""
    return {worker.pid for each in zygotes() for worker in each.children()}


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, and all of its threads, but for its exit code, which is yet to be read."""
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1


def busy(engine: QueryEngine, sql: str) -> Iterator[pa.RecordBatch]:
    """A statement that has begun to run."""
    batches = engine.plan(sql).batches()
    next(batches)
    return batches


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(repeat('x', 2000000000))",
        "SELECT array_length(range(0, 2000000000))",
        "SELECT v, repeat('x', v) FROM generate_series(1000000000, 1000000010) g(v)",
        "SELECT array_agg(v) FROM generate_series(1, 2000000000) g(v)",
    ],
    ids=["folded text", "folded list", "text", "aggregate"],
)
def test_memory_that_a_statement_takes_is_its_own(engine: QueryEngine, sql: str) -> None:
    """Whether it is planned or runs; ours stays as it was."""
    assert works(engine)
    before_bytes = resident_bytes()
    with pytest.raises(LimitExceeded, match="more than the 64 MiB of memory"):
        rows(engine, sql)
    assert resident_bytes() - before_bytes < 32 * MIB
    assert works(engine)


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "Resources exhausted" FROM processes',
        "SELECT CAST('Resources exhausted' AS INT)",
        "SELECT CAST('Not enough memory' || v AS INT) FROM generate_series(1, 2) g(v)",
    ],
)
def test_words_of_a_statement_are_no_limit(engine: QueryEngine, sql: str) -> None:
    """Whatever they say."""
    with pytest.raises(InvalidArgument, match=r"Resources exhausted|Not enough") as refused:
        rows(engine, sql)
    assert not isinstance(refused.value, LimitExceeded)
    assert works(engine)


def test_a_system_without_processes_is_busy(
    engine: QueryEngine, empty_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a process keeps it."""
    with closing(busy(engine, FOREVER)) as batches:
        (forked_from,) = {psutil.Process(pid).parent() for pid in worker_pids()}
        before = psutil.Process(forked_from.pid).rlimit(psutil.RLIMIT_NOFILE)
        forked_from.rlimit(psutil.RLIMIT_NOFILE, (4, before[1]))
        other = QueryEngine(empty_lake)
        try:
            with pytest.raises(Overloaded, match="the system gives no more processes"):
                works(other)
        finally:
            forked_from.rlimit(psutil.RLIMIT_NOFILE, before)
        assert works(other)
        assert next(batches).num_rows == 0
        other.close()


@pytest.mark.parametrize("nesting", ["+".join(["1"] * 50_000), "(" * 50_000, "[" * 50_000, "-" * 50_000 + "1"])
def test_a_statement_that_nests_too_deeply_is_refused(engine: QueryEngine, nesting: str) -> None:
    """Whatever it does to the process that plans it. It is not compared with the same statement prepared: a slow
    machine refuses it for the time that it takes."""
    with pytest.raises(InvalidArgument):
        QueryEngine.plan(engine, f"SELECT {nesting}")
    assert works(engine)


def test_a_statement_that_takes_long_to_plan_is_refused(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hint."""
    with monkeypatch.context() as patch:
        patch.setattr(worker_client, "MAX_PLAN_SECONDS", 0.2)
        with pytest.raises(InvalidArgument, match=r"takes more than 0\.2 s to plan; .* IN \(\.\.\.\)"):
            engine.plan("SELECT " + " OR ".join(f"sqrt({number}) > random()" for number in range(1500)))
    assert works(engine)


def test_planning_stops_when_nobody_waits_for_it(engine: QueryEngine) -> None:
    """Nothing is left of it."""
    asked = threading.Event()

    def is_cancelled() -> bool:
        asked.set()
        return True

    with pytest.raises(QueryCancelled):
        engine.plan("SELECT 1", QueryContext(is_cancelled=is_cancelled))
    assert asked.is_set()
    assert works(engine)


@pytest.mark.parametrize("way", ["close", "cancel", "engine"])
def test_a_statement_that_yields_nothing_stops_at_once(engine: QueryEngine, way: str) -> None:
    """Its process ends, in whatever loop it is."""
    assert works(engine)
    cancelled = threading.Event()
    batches = engine.plan(FOREVER).batches(cancelled.is_set)
    assert next(batches).num_rows == 0
    before = worker_pids()
    match way:
        case "close":
            batches.close()
        case "cancel":
            cancelled.set()
            with pytest.raises(QueryCancelled):
                list(batches)
        case "engine":
            engine.close()
            with pytest.raises(QueryCancelled):
                list(batches)
    wait_until(lambda: bool(before - worker_pids()))


ENDINGS = {
    signal.SIGKILL: (Overloaded, "ended from outside"),
    signal.SIGHUP: (Overloaded, "ended from outside"),
    signal.SIGSEGV: (EnginePanic, "the process that ran the statement has ended"),
    signal.SIGABRT: (EnginePanic, "the process that ran the statement has ended"),
}
"""What a statement hears whose process ends by a signal: whether the system ended it, or it did so itself."""


@pytest.mark.parametrize("number", ENDINGS)
def test_a_worker_that_dies_fails_its_statement_only(number: signal.Signals, engine: QueryEngine) -> None:
    """The engine takes another one."""
    error, message = ENDINGS[number]
    before = worker_pids()
    with closing(busy(engine, FOREVER)) as batches:
        for pid in worker_pids() - before:
            os.kill(pid, number)
        with pytest.raises(error, match=message):
            list(batches)
    assert works(engine)


@pytest.mark.parametrize("number", ENDINGS)
def test_a_worker_that_dies_while_it_plans_fails_its_statement_only(
    number: signal.Signals, engine: QueryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the statement's fault only where the process ended by itself."""

    def end_worker(*_: object) -> None:
        for pid in worker_pids():
            os.kill(pid, number)

    with monkeypatch.context() as patched:
        patched.setattr(LakeTables, "plan", end_worker)
        is_outside = ENDINGS[number][0] is Overloaded
        with pytest.raises(Overloaded if is_outside else InvalidArgument) as caught:
            engine.plan("SELECT * FROM list_partitions()")
    assert ("ended from outside" if is_outside else "ended the process that planned it") in str(caught.value)
    assert works(engine)


def test_no_room_for_temporary_files_is_not_the_fault_of_the_caller(tmp_path: Path) -> None:
    """But a matter of the moment."""
    settings = QuerySettings(memory_bytes=64 * MIB, query_memory_bytes=64 * MIB)
    with closing(QueryEngine(Lake.open(str(tmp_path / "lake")), settings)) as engine:
        assert works(engine)
        limited = [*zygotes(), *(worker for each in zygotes() for worker in each.children())]
        try:
            for process in limited:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
            with pytest.raises(Overloaded, match="the server has no room for temporary files"):
                rows(engine, LARGE_SORT)
        finally:
            for process in limited:
                with suppress(ProcessLookupError):
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert works(engine)
        with pytest.raises(InvalidArgument, match="Cannot cast"):
            rows(engine, "SELECT arrow_cast('(os error 28)', 'Int64')")


def test_an_idle_worker_that_died_is_not_missed(engine: QueryEngine) -> None:
    """Nor is the process that they are forked from."""
    before = worker_pids()
    assert works(engine)
    for pid in worker_pids() - before:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: has_ended(psutil.Process(pid)))
    assert works(engine)
    for each in zygotes():
        each.kill()
        each.wait(TIMEOUT_S)
    assert works(engine)
    assert rows(engine, "SELECT v FROM generate_series(1, 2) g(v) ORDER BY v DESC") == [{"v": 2}, {"v": 1}]


def test_a_statement_is_planned_once(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that planned it runs it."""
    planned: list[Plan] = []
    plan = WorkerClient.plan
    monkeypatch.setattr(WorkerClient, "plan", lambda client, wanted: (planned.append(wanted), plan(client, wanted))[1])
    for _ in range(3):
        assert rows(engine, "SELECT count(*) AS n FROM processes") == [{"n": 0}]
    assert len([wanted for wanted in planned if not wanted.is_open]) == 3


def test_plans_of_others_come_between(engine: QueryEngine) -> None:
    """A statement that is planned is run as it is, whatever its worker has planned or run since."""
    queries = [engine.plan(f"SELECT sum(v + {i}) AS s FROM generate_series(1, 4) g(v)") for i in range(2 * MAX_IDLE)]
    found = [pa.Table.from_batches(list(query.batches()), query.schema).to_pylist() for query in reversed(queries)]
    assert found == [[{"s": 10 + 4 * i}] for i in reversed(range(len(queries)))]
    assert works(engine)


def test_a_worker_that_plans_is_waited_for(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one would take longer to begin than eight statements to be planned."""
    monkeypatch.setattr(pool, "BEGIN_SECONDS", TIMEOUT_S)
    assert works(engine)
    before = worker_pids()
    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(engine.plan, [f"SELECT {i} AS v" for i in range(40)]))) == 40
    assert worker_pids() == before


def test_few_workers_are_left_of_many(empty_lake: Lake) -> None:
    """Those that wait take memory, too."""
    engine = QueryEngine(empty_lake, QuerySettings(max_wait_s=60.0))
    before = worker_pids()
    running = [busy(engine, FOREVER) for _ in range(engine.settings.max_computing)]
    assert len(worker_pids() - before) >= len(running)
    for batches in running:
        batches.close()
    assert works(engine)
    wait_until(lambda: len(worker_pids() - before) <= MAX_IDLE)
    engine.close()
    wait_until(lambda: not worker_pids() - before)


def test_as_many_compute_as_have_room(empty_lake: Lake) -> None:
    """Others wait, and are sent away in the end; what only reads needs no room."""
    engine = QueryEngine(empty_lake, QuerySettings(memory_bytes=64 * MIB, query_memory_bytes=64 * MIB, max_wait_s=0.1))
    with closing(busy(engine, FOREVER)):
        with pytest.raises(Overloaded, match="1 queries that compute are under way"):
            works(engine)
        assert rows(engine, "SELECT * FROM processes") == []
    assert works(engine)
    engine.close()


def test_a_statement_reads_so_many_tables(engine: QueryEngine) -> None:
    """Each takes a thread."""
    tables = " UNION ALL ".join(["SELECT process_id || 'x' FROM processes"] * (worker_client.MAX_SCANS + 1))
    with pytest.raises(InvalidArgument, match="may read 64 tables"):
        rows(engine, tables)
    assert works(engine)


def test_the_server_does_not_load_the_engine(engine: QueryEngine) -> None:
    """It could not end it."""
    program = "import flightsrv.server.lifecycle, udtf.sql.engine, sys; sys.exit('datafusion' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_workers_know_no_files_of_the_lake(engine: QueryEngine, empty_lake: Lake) -> None:
    """What they read comes from us."""
    before = worker_pids()
    with closing(busy(engine, FOREVER)):
        for pid in worker_pids() - before:
            assert not [path for path in open_files(pid) if "lake" in path]


def test_files_of_workers_go_with_them(empty_lake: Lake) -> None:
    """Those that were killed, too."""
    engine = QueryEngine(empty_lake, QuerySettings(memory_bytes=64 * MIB, query_memory_bytes=64 * MIB))
    assert works(engine)
    before = worker_pids()
    with closing(engine.plan(LARGE_SORT).batches()) as batches:
        while not next(batches).num_rows:
            pass
        spilled = [path for pid in before | worker_pids() for path in open_files(pid)]
        assert any(map(os.path.exists, spilled))
    wait_until(lambda: not any(map(os.path.exists, spilled)))
    engine.close()


def test_statements_do_not_see_where_files_of_workers_are(empty_lake: Lake) -> None:
    """Nor those that run in a worker that has just written some.

    A worker that has grown too much is not kept, and a new one has no folder yet: then the next try tells.
    """
    engine = QueryEngine(empty_lake, QuerySettings(memory_bytes=64 * MIB, query_memory_bytes=64 * MIB))
    setting = "SELECT value FROM information_schema.df_settings WHERE name = 'datafusion.runtime.temp_directory'"

    def folder_of_a_worker_that_spilled() -> str:
        assert len(rows(engine, LARGE_SORT.replace("3000000", "1500000"))) == 1_500_000
        return str(rows(engine, setting)[0]["value"] or "")

    folder = next(filter(None, (folder_of_a_worker_that_spilled() for _ in range(20))))
    assert tempfile.gettempdir() not in folder
    engine.close()


def open_files(pid: int) -> list[str]:
    """Paths of the files that a process has open, none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return [file.path for file in psutil.Process(pid).open_files()]
    return []


BUSY_PROGRAM = f"""
import sys, time
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine
engine = QueryEngine(Lake.open(sys.argv[1]))
batches = engine.plan({FOREVER!r}).batches()
next(batches)
print("busy", flush=True)
time.sleep(600)
"""


@pytest.fixture
def busy_server(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A process with a worker that computes, and its folder for temporary files."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-c", BUSY_PROGRAM, str(tmp_path / "lake")]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"busy\n"
        yield server, temporary
        server.kill()


def test_a_server_that_is_killed_takes_its_workers_along(
    busy_server: tuple["subprocess.Popen[bytes]", Path],
) -> None:
    """However busy they are; their files as well."""
    server, temporary = busy_server
    family = psutil.Process(server.pid).children(recursive=True)
    assert len(family) >= 2
    assert os.listdir(temporary)
    server.kill()
    _, alive = psutil.wait_procs(family, TIMEOUT_S)
    assert not alive
    wait_until(lambda: not os.listdir(temporary))


def test_nothing_is_left_where_all_are_killed(
    busy_server: tuple["subprocess.Popen[bytes]", Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers end, and the next one who begins removes their files; but not those of the living."""
    server, temporary = busy_server
    (forked_from,) = psutil.Process(server.pid).children()
    workers = forked_from.children()
    forked_from.kill()
    _, alive = psutil.wait_procs(workers, TIMEOUT_S)
    assert not alive
    assert len(os.listdir(temporary)) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    ours = [zygote.own_folder() for _ in range(3)]
    assert sorted(path.name for path in ours) == sorted(os.listdir(temporary))
