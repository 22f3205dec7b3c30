"""Streams that are large, slow, endless, or break, from an engine made for that."""

import json
import logging
import time
from collections.abc import Callable

import adbc_driver_flightsql.dbapi as adbc
import pyarrow as pa
import pytest
from pyarrow import flight

from flightsrv.flight.streaming import MAX_BATCH_BYTES
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery, TicketStatementQuery
from tests.server.clients import AdbcClient, Client, PyarrowClient, Refused, call_options, descriptor
from tests.server.fakes import TIMEOUT_S, FakeEngine


def stream(connection: flight.FlightClient, sql: str, **headers: str) -> flight.FlightStreamReader:
    ticket = flight.Ticket(pack(TicketStatementQuery(statement_handle=sql.encode())))
    return connection.do_get(ticket, call_options(headers))


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds before the patience of tests is over."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def query_log(caplog: pytest.LogCaptureFixture) -> Callable[[str], bool]:
    """Tells whether a line of the query log holds a text."""
    caplog.set_level(logging.INFO, "flightsrv")
    return lambda text: any(text in record.getMessage() for record in caplog.records)


def test_large_batches_are_sliced(fake_connection: flight.FlightClient) -> None:
    """No message is larger than clients take, but for a row that is larger itself; no row is lost."""
    sizes, numbers = [], []
    for chunk in stream(fake_connection, "large"):
        numbers += chunk.data["n"].to_pylist()
        if chunk.data.num_rows > 1:
            sizes.append(chunk.data.nbytes)
    assert numbers == list(range(361))
    assert max(sizes) <= MAX_BATCH_BYTES


def test_large_batches_reach_clients_with_a_message_limit(fake_client: Client) -> None:
    """16 MiB for ADBC."""
    assert fake_client.query("large").num_rows == 361


def test_first_rows_leave_before_the_last_are_made(fake_connection: flight.FlightClient, engine: FakeEngine) -> None:
    """The stream is not collected on its way."""
    reader = stream(fake_connection, "wait")
    assert reader.read_chunk().data["n"].to_pylist() == [0]
    assert not engine.ended.is_set()
    engine.released.set()
    assert reader.read_chunk().data["n"].to_pylist() == [1]


def test_cancelled_query_stops(
    fake_connection: flight.FlightClient, engine: FakeEngine, query_log: Callable[[str], bool]
) -> None:
    """The work ends although nobody lets it go on, and the log says so."""
    reader = stream(fake_connection, "wait")
    reader.read_chunk()
    reader.cancel()
    assert engine.ended.wait(TIMEOUT_S)
    assert eventually(lambda: query_log("abandoned by the client") or query_log("cancelled"))


def test_query_of_a_client_that_left_stops(fake_server: RunningServer, engine: FakeEngine) -> None:
    """A connection that is gone counts as cancelled."""
    connection = flight.connect(fake_server.url)
    stream(connection, "wait").read_chunk()
    connection.close()
    assert engine.ended.wait(TIMEOUT_S)


def test_endless_query_stops_when_cancelled(
    fake_connection: flight.FlightClient, engine: FakeEngine, query_log: Callable[[str], bool]
) -> None:
    """Work that never asks whether it is cancelled ends at the next batch."""
    reader = stream(fake_connection, "forever")
    reader.read_chunk()
    reader.cancel()
    assert engine.ended.wait(TIMEOUT_S)
    assert eventually(lambda: query_log("cancelled"))


def test_adbc_cancel_stops_the_query(fake_server: RunningServer, engine: FakeEngine) -> None:
    """Cancel through the driver of somebody else."""
    with adbc.connect(fake_server.url, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("wait")
        assert cursor.fetchone() == (0, b"")
        cursor.adbc_cancel()
        cursor.close()
    assert engine.ended.wait(TIMEOUT_S)


def test_failure_in_mid_stream_is_told(fake_client: Client) -> None:
    """The message of a known failure arrives, with an id to find it in the log."""
    with pytest.raises(Refused, match=r"block b7 cannot be read, query id [0-9a-f]{16}") as refused:
        fake_client.query("fail late")
    assert refused.value.code == "INTERNAL"


def test_rows_before_a_failure_arrive(fake_connection: flight.FlightClient) -> None:
    """A client that reads as it goes keeps what it has."""
    reader = stream(fake_connection, "fail late")
    assert [reader.read_chunk().data["n"][0].as_py() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(flight.FlightInternalError):
        reader.read_chunk()


@pytest.mark.parametrize("sql", ["break late", "fail to plan"])
def test_unexpected_error_stays_in_the_log(fake_client: Client, sql: str, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns an id, no message, no path; the log has both."""
    with pytest.raises(Refused, match=r"internal error, query id [0-9a-f]{16}") as refused:
        fake_client.query(sql)
    assert refused.value.code == "INTERNAL"
    assert "secret" not in refused.value.message
    assert "ZeroDivision" not in refused.value.message
    assert "Traceback" not in refused.value.message
    query_id = refused.value.message.partition("query id ")[2][:16]
    assert any(query_id in record.getMessage() and record.exc_info for record in caplog.records)


def test_unexpected_error_of_get_schema_stays_in_the_log(fake_connection: flight.FlightClient) -> None:
    """GetSchema of pyarrow's client knows no special errors."""
    with pytest.raises(OSError, match="internal error, query id") as refused:
        fake_connection.get_schema(descriptor(CommandStatementQuery(query="fail to plan")))
    assert "secret" not in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_progress_travels_between_rows(fake_connection: flight.FlightClient) -> None:
    """As zero-row batches with JSON, and a summary in the end, for a client that asked."""
    chunks = list(stream(fake_connection, "progress", trace_progress="true"))
    told = [json.loads(chunk.app_metadata.to_pybytes()) for chunk in chunks if chunk.app_metadata]
    assert [(chunk.data.num_rows, chunk.app_metadata is None) for chunk in chunks] == [
        (0, False),
        (1, True),
        (0, False),
        (1, True),
        (0, False),
    ]
    assert [message["type"] for message in told] == ["thread_done", "thread_failed", "summary"]
    assert told[-1]["rows"] == 2
    assert told[-1]["failures"] == [told[1]]
    assert stream(fake_connection, "progress", trace_progress="true").read_all().num_rows == 2


def test_progress_leaves_while_there_are_no_rows(fake_connection: flight.FlightClient, engine: FakeEngine) -> None:
    """Before the first row is made; batches that only say that there is none yet are not sent."""
    reader = stream(fake_connection, "silent", trace_progress="true")
    assert json.loads(reader.read_chunk().app_metadata.to_pybytes()) == {"type": "progress", "message": "working"}
    assert not engine.ended.is_set()
    engine.released.set()
    assert [chunk.data.num_rows for chunk in reader] == [1, 0]
    assert [chunk.data.num_rows for chunk in stream(fake_connection, "silent")] == [1]


def test_plain_clients_get_rows_only(fake_connection: flight.FlightClient) -> None:
    """Nobody has to skip what it did not ask for."""
    chunks = list(stream(fake_connection, "progress"))
    assert [(chunk.data.num_rows, chunk.app_metadata) for chunk in chunks] == [(1, None), (1, None)]


def test_dictionaries_that_change_are_sent_with_their_rows(fake_server: RunningServer) -> None:
    """Decoded by default, kept for a client that asks."""
    client = PyarrowClient(fake_server.url)
    names = ["a", "b", "a", "c", "a", None]
    assert client.query("dictionaries")["name"].to_pylist() == names
    kept = client.query("dictionaries", {"preserve_dictionary": "true", "trace_progress": "true"})
    assert pa.types.is_dictionary(kept["name"].type)
    assert kept["name"].to_pylist() == names


def test_large_dictionaries_are_sliced(fake_server: RunningServer, fake_connection: flight.FlightClient) -> None:
    """Only the values that the rows of a message use go with it; kept or decoded, no message is too large."""
    expected = [*range(300), None, *range(300)]
    for chunk in stream(fake_connection, "large dictionary", preserve_dictionary="true"):
        assert chunk.data.column(0).dictionary.nbytes <= MAX_BATCH_BYTES
    for keep in ("true", "false"):
        names = PyarrowClient(fake_server.url).query("large dictionary", {"preserve_dictionary": keep})["name"]
        assert [name if name is None else int(name[:6]) for name in names.to_pylist()] == expected
        kept = AdbcClient(fake_server.url).query("large dictionary", {"preserve_dictionary": keep})["name"]
        assert kept.to_pylist() == names.to_pylist()


def test_every_query_leaves_one_line_in_the_log(fake_client: Client, query_log: Callable[[str], bool]) -> None:
    """Who, what came of it, how much, and the statement."""
    fake_client.query("progress")
    assert eventually(lambda: query_log(": ok, 2 rows"))
    assert query_log("from ipv4:127.0.0.1")
    assert query_log("ms: progress")
