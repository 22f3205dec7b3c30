"""Several processes that are one server, and clients whose connections reach one or another of them."""

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pyarrow import flight

from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    CancelFlightInfoResult,
    CancelStatus,
    FlightInfo,
    SessionOptionValue,
    SetSessionOptionsRequest,
)
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
    CommandStatementQuery,
)
from tests.cli.conftest import FLIGHTSRV
from tests.server.clients import CookieJar, descriptor, put
from tests.support.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

FOREVER = "SELECT count(*) FROM generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) WHERE v * w % 7 = 9"
NB_ROWS = 5_000_000
MANY_ROWS = f"SELECT value FROM generate_series(1, {NB_ROWS}) g(value)"
OPTIONS = ("--port", "0", "--http-port", "0", "--metrics-port", "0", "--processes", "2", "--max-queries", "8")


class Processes:
    """`flightsrv serve --processes 2` on a lake of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        with self._log.open("wb") as sink:
            self.process = subprocess.Popen(
                [FLIGHTSRV, "serve", "--lake", str(folder / "lake"), *OPTIONS],
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), self.log
        self.url = line.removeprefix("listening on ").strip()
        (self.metrics_url,) = set(re.findall(r"metrics on (\S+)", self.log))
        (self.page_url,) = set(re.findall(r"page on (\S+)", self.log))

    @property
    def log(self) -> str:
        return self._log.read_text()

    def pids(self) -> list[int]:
        """Of the processes that serve."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def pid_of(self, number: int) -> int:
        """Of the process of a number, as the log has it."""
        return int(re.findall(rf"process {number}: Started server process \[(\d+)\]", self.log)[-1])

    def one_connection_each(self, stack: ExitStack, jar: CookieJar | None = None) -> list[flight.FlightClient]:
        """Connections to process 0 and process 1, which the system has chosen among many."""
        found: dict[int, flight.FlightClient] = {}
        for attempt in range(100):
            middleware = None if jar is None else [jar]
            connection = stack.enter_context(flight.connect(self.url, middleware=middleware))
            marker = f"SELECT {time.monotonic_ns()} AS marker_{attempt}"
            rows(connection, marker)
            wait_until(lambda marker=marker: marker in self.log)  # type: ignore[misc]
            (number,) = re.findall(rf"process (\d): query .*: {marker}$", self.log, re.MULTILINE)
            found.setdefault(int(number), connection)
            if len(found) == 2:
                return [found[0], found[1]]
        raise AssertionError("all connections reach the same process")

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        assert self.process.stdout is not None
        assert self.process.stdout.read() == ""
        return self.process.wait(TIMEOUT_S)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    started = Processes(tmp_path_factory.mktemp("processes"))
    yield started
    if started.process.poll() is None:
        pids = started.pids()
        assert started.end() == 0, started.log
        assert not any(map(psutil.pid_exists, pids))


def rows(connection: flight.FlightClient, sql: str) -> list[dict[str, object]]:
    info = connection.get_flight_info(descriptor(CommandStatementQuery(query=sql)))
    found: list[dict[str, object]] = connection.do_get(info.endpoints[0].ticket).read_all().to_pylist()
    return found


def run(connection: flight.FlightClient, info: flight.FlightInfo, ended: list[Exception | None]) -> threading.Thread:
    """Read the rows of a ticket in a thread, and note how that ends."""

    def read() -> None:
        try:
            for _ in connection.do_get(info.endpoints[0].ticket):
                pass
            ended.append(None)
        except (flight.FlightError, pa.ArrowException) as error:
            ended.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def cancel(connection: flight.FlightClient, info: flight.FlightInfo) -> int:
    request = CancelFlightInfoRequest(info=decode(FlightInfo, info.serialize()))
    (result,) = connection.do_action(("CancelFlightInfo", request.SerializeToString()))
    return decode(CancelFlightInfoResult, result.body.to_pybytes()).status


def begun(connection: flight.FlightClient) -> flight.FlightStreamReader:
    """A stream of NB_ROWS rows, more than what is on its way while nothing is read, of which there is a first one."""
    info = connection.get_flight_info(descriptor(CommandStatementQuery(query=MANY_ROWS)))
    reader = connection.do_get(info.endpoints[0].ticket)
    assert reader.read_chunk().data.num_rows > 0
    return reader


def read_on(reader: flight.FlightStreamReader) -> int:
    """The number of the last row."""
    last = 0
    for chunk in reader:
        last = chunk.data["value"][-1].as_py()
    return last


def is_refused(connection: flight.FlightClient) -> bool:
    """Whether a server takes no calls any more."""
    try:
        rows(connection, "SELECT 1")
    except flight.FlightUnavailableError:
        return True
    return False


def is_computing(pid: int) -> bool:
    """Whether a worker of a process computes, and goes on to."""
    workers = psutil.Process(pid).children(recursive=True)
    return any(worker.cpu_percent(0.2) > 5 for worker in workers)


def test_a_session_and_a_prepared_statement_are_those_of_all(processes: Processes) -> None:
    """What is set, prepared and bound over one connection holds over another."""
    with ExitStack() as stack:
        jar = CookieJar()
        first, second = processes.one_connection_each(stack, jar)
        options = {"schema": SessionOptionValue(string_value="information_schema")}
        request = SetSessionOptionsRequest(session_options=options)
        list(first.do_action(("SetSessionOptions", request.SerializeToString())))
        assert rows(second, "SELECT count(*) > 0 AS found FROM tables") == [{"found": True}]

        sql = "SELECT $1 + 1 AS next"
        (answer,) = first.do_action(("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql))))
        created = unpack(answer.body.to_pybytes())
        assert isinstance(created, ActionCreatePreparedStatementResult)
        command = CommandPreparedStatementQuery(prepared_statement_handle=created.prepared_statement_handle)
        put(first, command, pa.record_batch({"1": pa.array([41], pa.int64())}))
        info = second.get_flight_info(descriptor(command))
        assert second.do_get(info.endpoints[0].ticket).read_all().to_pylist() == [{"next": 42}]


def test_a_query_is_cancelled_by_way_of_another_process(processes: Processes) -> None:
    """Whatever runs elsewhere goes on, and one that is cancelled before it begins does not begin."""
    with ExitStack() as stack:
        first, second = processes.one_connection_each(stack)
        info = first.get_flight_info(descriptor(CommandStatementQuery(query=FOREVER)))
        ended: list[Exception | None] = []
        reading = run(first, info, ended)
        wait_until(lambda: any(map(is_computing, processes.pids())))
        wait_until(lambda: cancel(second, info) == CancelStatus.CANCEL_STATUS_CANCELLED)
        reading.join(TIMEOUT_S)
        (error,) = ended
        assert isinstance(error, flight.FlightCancelledError)
        assert "the query was cancelled" in str(error)
        with pytest.raises(flight.FlightCancelledError, match="the query was cancelled"):
            for _ in first.do_get(info.endpoints[0].ticket):
                pass


def test_the_query_log_and_metrics_are_those_of_all(processes: Processes) -> None:
    """Whichever process tells them, by SQL or at the ports for Prometheus, of the service and of the page."""
    with ExitStack() as stack:
        for number, connection in enumerate(processes.one_connection_each(stack)):
            rows(connection, f"SELECT {number} AS counted")
            rows(connection, f"SELECT {number} AS counted")
        log = "SELECT statement FROM query_log() WHERE statement LIKE 'SELECT _ AS counted'"
        metric = "SELECT sum(value) AS n FROM server_metrics() WHERE name = 'flightsrv_calls_total'"
        for connection in processes.one_connection_each(stack):
            wait_until(lambda connection=connection: len(rows(connection, log)) == 4)  # type: ignore[misc]
            (found,) = rows(connection, metric)
            assert found["n"] >= 8  # type: ignore[operator]
    nb_calls = 0.0
    for _ in range(8):  # each by a connection of its own
        with urllib.request.urlopen(processes.metrics_url, timeout=TIMEOUT_S) as answer:
            families = {each.name: each for each in text_string_to_metric_families(answer.read().decode())}
        samples = families["flightsrv_calls"].samples
        counted = sum(sample.value for sample in samples if sample.name == "flightsrv_calls_total")
        assert counted >= max(8, nb_calls)
        nb_calls = counted
    for _ in range(8):
        with urllib.request.urlopen(f"{processes.page_url}/api/processes", timeout=TIMEOUT_S) as answer:
            assert json.load(answer)["total"] == 0
    with urllib.request.urlopen(f"{processes.page_url}/metrics", timeout=TIMEOUT_S) as answer:
        requests = re.findall(
            r'flightsrv_http_requests_total{.*route="/api/processes".*} (\S+)', answer.read().decode()
        )
    assert sum(map(float, requests)) == 8


def test_the_death_of_a_process_costs_its_own_calls_only(processes: Processes) -> None:
    """Another takes its place; sessions are still there."""
    with ExitStack() as stack:
        jar = CookieJar()
        pids = processes.pids()
        first, second = processes.one_connection_each(stack, jar)
        options = {"schema": SessionOptionValue(string_value="information_schema")}
        request = SetSessionOptionsRequest(session_options=options)
        list(first.do_action(("SetSessionOptions", request.SerializeToString())))
        dying, living = begun(first), begun(second)
        os.kill(processes.pid_of(0), signal.SIGKILL)
        with pytest.raises((flight.FlightError, pa.ArrowException, OSError)):
            read_on(dying)
        assert read_on(living) == NB_ROWS
        wait_until(lambda: processes.log.count("page on") == 3)
        assert re.findall(r"process 0 ended with exit code -9; another one takes its place", processes.log)
        assert len(set(processes.pids()) - set(pids)) == 1
        for connection in processes.one_connection_each(stack, jar):
            assert rows(connection, "SELECT count(*) > 0 AS found FROM tables") == [{"found": True}]


def test_sigterm_lets_all_processes_finish(processes: Processes, tmp_path: Path) -> None:
    """A second server on the same port is refused meanwhile."""
    port = processes.url.rpartition(":")[2]
    command = [FLIGHTSRV, "serve", "--lake", str(tmp_path / "lake"), "--port", port, "--processes", "2"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "the port may be taken" in refused.stderr
    with ExitStack() as stack:
        connections = processes.one_connection_each(stack)
        readers = [begun(connection) for connection in connections]
        pids = processes.pids()
        processes.process.terminate()
        for connection in connections:
            wait_until(lambda connection=connection: is_refused(connection))  # type: ignore[misc]
        assert [read_on(reader) for reader in readers] == [NB_ROWS, NB_ROWS]
        assert processes.end() == 0
        assert not any(map(psutil.pid_exists, pids))
