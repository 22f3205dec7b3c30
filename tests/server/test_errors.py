"""What a client sees of a failure."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from pyarrow import flight

from flightsrv.server.errors import (
    MAX_MESSAGE_BYTES,
    Draining,
    NotOffered,
    client_message,
    hide_tracebacks_from_clients,
    to_flight_error,
)
from flightsrv.server.lifecycle import RunningServer, running_server
from flightsrv.wire.codec import MalformedMessage, UnsupportedMessage
from tests.server.clients import AdbcClient, Client, PyarrowClient, Refused
from udtf.errors import CorruptData, InvalidArgument, InvalidTelemetry, NotFound, StoreUnavailable
from udtf.functions.table_function import Query, Rows, TableFunction
from udtf.sql import lake_tables
from udtf.sql.engine import QueryCancelled


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidArgument("m"), pa.ArrowInvalid),
        (InvalidTelemetry("m"), pa.ArrowInvalid),
        (MalformedMessage("m"), pa.ArrowInvalid),
        (NotFound("m"), pa.ArrowKeyError),
        (UnsupportedMessage("m"), pa.ArrowNotImplementedError),
        (NotOffered("m"), pa.ArrowNotImplementedError),
        (QueryCancelled("m"), flight.FlightCancelledError),
        (Draining("m"), flight.FlightUnavailableError),
        (StoreUnavailable("m"), flight.FlightUnavailableError),
        (CorruptData("m"), flight.FlightInternalError),
        (ValueError("m"), flight.FlightInternalError),
        (OSError("m"), flight.FlightInternalError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_becomes_the_exception_of_its_status(error: Exception, kind: type[Exception]) -> None:
    """Flight makes the status code of the exception's class."""
    assert type(to_flight_error(error, "id")) is kind


def test_message_of_an_unknown_error_is_not_told() -> None:
    """It may hold anything."""
    assert str(to_flight_error(OSError("/srv/secret"), "q1")) == "internal error, query id q1"


@pytest.mark.parametrize("text", ["x" * 10_000, "ä" * 10_000, "\ud800" * 5_000, "\x00" * 5_000])
def test_message_is_cut_to_what_fits_into_trailers(text: str) -> None:
    """Measured as gRPC encodes it."""
    message = client_message(InvalidArgument(text))
    assert 100 < len(quote(message)) <= MAX_MESSAGE_BYTES


def test_long_message_reaches_the_client(client: Client) -> None:
    """A client's limit of trailers does not swallow it."""
    with pytest.raises(Refused, match="no_such_table_") as refused:
        client.query(f"SELECT * FROM no_such_table_{'x' * 50_000}")
    assert refused.value.code == "INVALID_ARGUMENT"


class Broken(TableFunction):
    """Fails in a way that nobody foresaw, while it is planned or while it runs."""

    parameters = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return pa.schema([("n", pa.int64())])

    def plan(self, query: Query, **arguments: Any) -> Rows:
        if self.name == "broken_plan":
            raise OSError("/srv/secret")
        return Rows(self.schema({}), self._batches)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": [1]})
        raise OSError("/srv/secret")


@pytest.fixture
def broken_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose functions are broken."""
    functions = {name: Broken(name) for name in ("broken_plan", "broken_rows")}
    monkeypatch.setattr(lake_tables, "FUNCTIONS", functions)
    with running_server(str(tmp_path / "lake")) as server:
        yield server


@pytest.mark.parametrize("kind", [PyarrowClient, AdbcClient])
@pytest.mark.parametrize("columns", ["*", "n + 1"], ids=["rows", "computed"])
@pytest.mark.parametrize("name", ["broken_plan", "broken_rows"])
def test_unforeseen_failure_of_a_plan_is_not_told(
    broken_server: RunningServer, kind: Callable[[str], Client], columns: str, name: str
) -> None:
    """On its way through the query engine it neither becomes the client's mistake nor text for the client."""
    with pytest.raises(Refused, match="internal error, query id") as refused:
        kind(broken_server.url).query(f"SELECT {columns} FROM {name}()")
    assert refused.value.code == "INTERNAL"
    assert "secret" not in refused.value.message
    assert "Traceback" not in refused.value.message


def test_formatting_of_exceptions_in_python_stays_as_it_was(server: RunningServer) -> None:
    """Only Arrow's own calls, which have no Python caller, lose their traceback."""
    hide_tracebacks_from_clients()
    with pytest.raises(ZeroDivisionError) as raised:
        1 / 0  # noqa: B018
    formatted = traceback.format_exception(raised.value)
    assert "Traceback" in formatted[0]
    assert traceback.format_exception(raised.type, raised.value, raised.tb) == formatted
    assert traceback.format_exception(raised.value, chain=False)[-1] == "ZeroDivisionError: division by zero\n"
