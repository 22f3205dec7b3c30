"""What a client sees of a failure."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from grpc import StatusCode

from flightsrv.flight.errors import (
    MAX_MESSAGE_BYTES,
    Draining,
    NotOffered,
    QueryTimedOut,
    client_message,
    status_of,
)
from flightsrv.policy.auth.authentication import Unauthenticated
from flightsrv.server.lifecycle import RunningServer, running_server
from flightsrv.wire.codec import MalformedMessage, UnsupportedMessage
from tests.server.clients import AdbcClient, Client, PyarrowClient, Refused
from udtf.errors import (
    AlreadyExists,
    CorruptData,
    InvalidArgument,
    InvalidTelemetry,
    LimitExceeded,
    NotFound,
    Overloaded,
    PermissionDenied,
    StoreUnavailable,
)
from udtf.execution.cancellation import QueryCancelled
from udtf.functions.table_function import Query, Rows, TableFunction
from udtf.sql import lake_tables


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument("m"), StatusCode.INVALID_ARGUMENT),
        (InvalidTelemetry("m"), StatusCode.INVALID_ARGUMENT),
        (MalformedMessage("m"), StatusCode.INVALID_ARGUMENT),
        (LimitExceeded("m"), StatusCode.RESOURCE_EXHAUSTED),
        (NotFound("m"), StatusCode.NOT_FOUND),
        (AlreadyExists("m"), StatusCode.ALREADY_EXISTS),
        (UnsupportedMessage("m"), StatusCode.UNIMPLEMENTED),
        (NotOffered("m"), StatusCode.UNIMPLEMENTED),
        (Unauthenticated("m"), StatusCode.UNAUTHENTICATED),
        (PermissionDenied("m"), StatusCode.PERMISSION_DENIED),
        (QueryCancelled("m"), StatusCode.CANCELLED),
        (QueryTimedOut("m"), StatusCode.DEADLINE_EXCEEDED),
        (Draining("m"), StatusCode.UNAVAILABLE),
        (Overloaded("m"), StatusCode.UNAVAILABLE),
        (StoreUnavailable("m"), StatusCode.UNAVAILABLE),
        (CorruptData("m"), StatusCode.INTERNAL),
        (ValueError("m"), StatusCode.INTERNAL),
        (OSError("m"), StatusCode.INTERNAL),
        (KeyboardInterrupt("m"), StatusCode.INTERNAL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_has_its_status(error: BaseException, code: StatusCode) -> None:
    """By the most special of its classes."""
    assert status_of(error, "id").code.name == code.name


def test_message_of_an_unknown_error_is_not_told() -> None:
    """It may hold anything."""
    assert status_of(OSError("/srv/secret"), "q1").message == "internal error, query id q1"


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
    functions = {name: [Broken(name)] for name in ("broken_plan", "broken_rows")}
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
