"""Programs that fork, spawn, become daemons and use up what they may, with a real server."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.client import connect
from tests.tracing.servers import TracingServer, tracing_server

ROOT = Path(__file__).parents[2]
NB_FORKS = 100 * int(os.environ.get("TEST_EFFORT", "1"))
"""Under load; TEST_EFFORT=6 makes 600, a fifth of a second apart at most."""
PRELUDE = """
import multiprocessing, os, resource, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from flightsrv import tracing

def work(number):
    with tracing.span(f"work {number}"):
        with tracing.span("part"):
            return os.getpid()

def wait_for(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One over a lake of its own."""
    with tracing_server(str(tmp_path_factory.mktemp("children") / "lake")) as running:
        yield running


def run_file(folder: Path, source: str, *arguments: object, expected_exit: int = 0, **environment: str) -> str:
    """Run a program in a file of its own, which `multiprocessing` can import; returns what it printed."""
    path = folder / "program.py"
    path.write_text(PRELUDE + textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, path, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        check=False,
    )
    assert done.returncode == expected_exit, done.stderr
    return done.stdout


def spans_of(server: TracingServer, process_id: str) -> list[str]:
    with connect(server.url) as client:
        rows = client.query("SELECT name FROM process_spans($1, 'thread') ORDER BY begin, depth", [process_id])
    return rows["name"].to_pylist()


def children_of(server: TracingServer, process_id: str) -> list[str]:
    with connect(server.url) as client:
        rows = client.query("SELECT process_id FROM processes WHERE parent_process_id = $1", [process_id])
    return rows["process_id"].to_pylist()


def test_forked_children_record_by_themselves(server: TracingServer, tmp_path: Path) -> None:
    """As children of their parent, from the fork on; what is open then is open in the parent alone."""
    parent = run_file(
        tmp_path,
        """
        session = tracing.start(sys.argv[1])
        kept = tracing.span("kept")
        with tracing.span("before"):
            assert tracing.flush()
            with tracing.span("open"):
                child = os.fork()
                if child == 0:
                    with kept:
                        work(1)
                    grandchild = os.fork()
                    if grandchild == 0:
                        work(2)
                        sys.exit(0)
                    wait_for(grandchild)
                    work(3)
            if child:
                wait_for(child)
                print(session.process_id)
        assert tracing.statistics().misplaced_ends == 0
        """,
        server.http_url,
    ).strip()
    assert spans_of(server, parent) == ["before", "open"]
    (child,) = children_of(server, parent)
    assert spans_of(server, child) == ["kept", "work 1", "part", "work 3", "part"]
    (grandchild,) = children_of(server, child)
    assert spans_of(server, grandchild) == ["work 2", "part"]


def test_a_fork_that_python_is_not_told_of_is_noticed(server: TracingServer, tmp_path: Path) -> None:
    """Before it is, what the child records is lost, and the log says so; it does not wait for a thread that is not
    there. Servers in C have hooks of their own for their forks."""
    parent = run_file(
        tmp_path,
        """
        import ctypes, logging, types
        class Told(logging.Handler):
            messages = []
            def emit(self, record): self.messages.append(record.getMessage())
        logging.getLogger("flightsrv.tracing").addHandler(Told())
        called = []
        uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
        uwsgi.post_fork_hook = lambda: called.append("theirs")
        session = tracing.start(sys.argv[1])
        work(0)
        assert tracing.flush()
        for number in (1, 2):
            child = ctypes.PyDLL(None).fork()
            if child == 0:
                if number == 2:
                    uwsgi.post_fork_hook()
                else:
                    work(3)
                    tracing.flush()
                work(number)
                assert tracing.flush()
                assert len(Told.messages) == (number == 1), Told.messages
                assert called == ["theirs"][:number - 1]
                sys.exit(0)
            wait_for(child)
        print(session.process_id)
        """,
        server.http_url,
    ).strip()
    assert spans_of(server, parent) == ["work 0", "part"]
    recorded = sorted(spans_of(server, child) for child in children_of(server, parent))
    assert recorded == [["work 1", "part"], ["work 2", "part"]]


def test_where_no_thread_may_run_nothing_is_recorded(tmp_path: Path) -> None:
    """As in uWSGI, if its options do not say otherwise; the log says so."""
    run_file(
        tmp_path,
        """
        import io, logging, types
        told = io.StringIO()
        logging.getLogger("flightsrv.tracing").addHandler(logging.StreamHandler(told))
        uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
        for uwsgi.opt, expected in (({"master": True}, False), ({"enable-threads": True}, True)):
            with tracing.start("http://127.0.0.1:1", settings=tracing.Settings(stop_timeout_s=0.0)):
                assert tracing.statistics().is_recording == expected
            assert told.getvalue().startswith("tracing is off: uWSGI")
        """,
    )


def test_tasks_of_a_forked_child_have_no_parent_in_another_process(server: TracingServer, tmp_path: Path) -> None:
    """Their ids are unique in their own process."""
    parent = run_file(
        tmp_path,
        """
        import asyncio
        session = tracing.start(sys.argv[1])
        async def main():
            async with tracing.async_span("outer"):
                child = os.fork()
                async with tracing.async_span("inner"):
                    pass
            if child == 0:
                assert tracing.flush()
                os._exit(0)
            wait_for(child)
        asyncio.run(main())
        print(session.process_id)
        """,
        server.http_url,
    ).strip()
    (child,) = children_of(server, parent)
    with connect(server.url) as client:
        sql = "SELECT DISTINCT name, depth, parent_span_id = 0 AS is_root FROM view_instance('async_events', $1)"
        for process, expected in ((parent, [("inner", 1, False), ("outer", 0, True)]), (child, [("inner", 0, True)])):
            rows = client.query(f"{sql} ORDER BY name", [process]).to_pylist()
            assert [tuple(row.values()) for row in rows] == expected


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_record_by_themselves(server: TracingServer, tmp_path: Path, method: str) -> None:
    """In a Process, a Pool, a ProcessPoolExecutor, whose processes end without the end of the interpreter."""
    parent = run_file(
        tmp_path,
        """
        if __name__ == "__main__":
            session = tracing.start(sys.argv[1])
            assert tracing.flush()
            context = multiprocessing.get_context(sys.argv[2])
            process = context.Process(target=work, args=(0,))
            process.start()
            process.join()
            assert process.exitcode == 0
            with context.Pool(2) as pool:
                pool.map(work, range(1, 5))
                pool.close()
                pool.join()
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                list(executor.map(work, range(5, 9)))
            print(session.process_id)
        """,
        server.http_url,
        method,
    ).strip()
    recorded = [name for child in children_of(server, parent) for name in spans_of(server, child)]
    assert sorted(recorded) == sorted([f"work {number}" for number in range(9)] + ["part"] * 9)


def test_a_terminated_pool_sends_what_it_recorded(server: TracingServer, tmp_path: Path) -> None:
    """Its workers are ended by SIGTERM."""
    parent = run_file(
        tmp_path,
        """
        session = tracing.start(sys.argv[1])
        assert tracing.flush()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(work, range(4))
        print(session.process_id)
        """,
        server.http_url,
    ).strip()
    recorded = [name for child in children_of(server, parent) for name in spans_of(server, child)]
    assert sorted(recorded) == sorted([f"work {number}" for number in range(4)] + ["part"] * 4)


def test_a_child_may_start_its_own_recording(server: TracingServer, tmp_path: Path) -> None:
    """As servers that fork workers do; it takes the place of the inherited one, which keeps what it has."""
    parent = run_file(
        tmp_path,
        """
        session = tracing.start(sys.argv[1])
        child = os.fork()
        if child == 0:
            work(1)
            with tracing.start(sys.argv[1], properties={"is": "worker"}) as own:
                assert own is not session
                work(2)
            os._exit(0)
        wait_for(child)
        print(session.process_id)
        """,
        server.http_url,
    ).strip()
    recorded = sorted(spans_of(server, child) for child in children_of(server, parent))
    assert recorded == [["work 1", "part"], ["work 2", "part"]]


def test_a_daemon_that_closes_everything_goes_on_recording(server: TracingServer, tmp_path: Path) -> None:
    """Descriptors are given to other files, which tracing leaves alone."""
    run_file(
        tmp_path,
        """
        tracing.start(sys.argv[1], settings=tracing.Settings(keep_every_s=0.02, send_every_s=0.05))
        work(0)
        time.sleep(0.2)
        reading, writing = os.pipe()
        if os.fork():
            os.close(writing)
            assert os.read(reading, 100)
            sys.exit(0)
        os.setsid()
        work(1)
        time.sleep(0.2)
        os.dup2(writing, 3)
        os.closerange(4, 1000)
        files = [os.open(sys.argv[2], os.O_RDWR | os.O_CREAT) for _ in range(50)]
        work(2)
        assert tracing.flush()
        work(3)
        assert tracing.stop()
        for file in files:
            os.write(file, b"x")
        os.write(3, tracing.statistics().__repr__().encode()[:90])
        os._exit(0)
        """,
        server.http_url,
        tmp_path / "file",
    )
    with connect(server.url) as client:
        rows = client.query(
            "SELECT process_id FROM processes WHERE parent_process_id IS NOT NULL ORDER BY start_time DESC LIMIT 1"
        )
    (daemon,) = rows["process_id"].to_pylist()
    assert [name for name in spans_of(server, daemon) if name != "part"] == ["work 1", "work 2", "work 3"]


def test_a_program_without_descriptors_goes_on_and_is_told_the_truth(server: TracingServer, tmp_path: Path) -> None:
    """Nothing is sent while none is left; all of it later."""
    parent = run_file(
        tmp_path,
        """
        session = tracing.start(sys.argv[1], settings=tracing.Settings(vitals_every_s=None, send_every_s=0.01))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        files = []
        try:
            while True:
                files.append(os.dup(0))
        except OSError:
            pass
        work(0)
        assert not tracing.flush(0.5)
        assert session.statistics().pending_events == 4
        for file in files:
            os.close(file)
        assert tracing.stop(60)
        assert session.statistics().sent_events == 4
        print(session.process_id)
        """,
        server.http_url,
    ).strip()
    assert spans_of(server, parent) == ["work 0", "part"]


@pytest.mark.slow
def test_many_forks_under_load_lose_nothing(server: TracingServer, tmp_path: Path) -> None:
    """While threads record and uploads are under way, at any moment."""
    parent = run_file(
        tmp_path,
        """
        session = tracing.start(sys.argv[1], settings=tracing.Settings(vitals_every_s=None, send_every_s=0.01))
        is_over = False
        def load():
            while not is_over:
                work(0)
                time.sleep(0.0005)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        children = []
        nb_forks = int(sys.argv[2])
        for number in range(1, nb_forks + 1):
            time.sleep(number % 21 * (0.01 if nb_forks > 100 else 0.0005))
            child = os.fork()
            if child == 0:
                work(number)
                os._exit(0 if tracing.flush(100) and tracing.statistics().sent_events == 4 else 1)
            children.append(child)
        for child in children:
            wait_for(child)
        is_over = True
        for thread in threads:
            thread.join()
        assert tracing.stop(100)
        print(session.process_id)
        """,
        server.http_url,
        NB_FORKS,
    ).strip()
    children = children_of(server, parent)
    with connect(server.url) as client:
        rows = client.query(
            "SELECT sum(nb_objects) AS events FROM blocks WHERE process_id IN (SELECT process_id FROM processes "
            "WHERE parent_process_id = $1)",
            [parent],
        )
    assert len(children) == NB_FORKS
    assert rows["events"].to_pylist() == [4 * NB_FORKS]
