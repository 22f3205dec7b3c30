"""Clients that are not ours behind one face, so that a test runs once for each."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_sql_pb2 import (
    ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    DoPutPreparedStatementResult,
    DoPutUpdateResult,
)

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

T = TypeVar("T")
Headers = Mapping[str, str]
NO_HEADERS: Headers = {}


class Refused(Exception):
    """What a client heard of a failure."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Client(Protocol):
    def query(self, sql: str, headers: Headers = NO_HEADERS) -> pa.Table: ...

    def query_prepared(self, sql: str, parameters: pa.RecordBatch | None, headers: Headers = NO_HEADERS) -> pa.Table:
        """Prepare, bind, run, close."""
        ...

    def ingest(self, table: str, rows: pa.RecordBatch) -> int: ...


@dataclass
class AdbcClient:
    """The Flight SQL driver of ADBC; it prepares whatever it runs."""

    url: str

    def query(self, sql: str, headers: Headers = NO_HEADERS) -> pa.Table:
        return self.query_prepared(sql, None, headers)

    def query_prepared(self, sql: str, parameters: pa.RecordBatch | None, headers: Headers = NO_HEADERS) -> pa.Table:
        options = {f"adbc.flight.sql.rpc.call_header.{name}": value for name, value in headers.items()}
        try:
            with (
                adbc.connect(self.url, db_kwargs=options, autocommit=True) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(sql, parameters)
                return cursor.fetch_arrow_table()
        except adbc_driver_manager.Error as e:
            raise self._refused(e) from e

    def ingest(self, table: str, rows: pa.RecordBatch) -> int:
        try:
            with adbc.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
                return int(cursor.adbc_ingest(table, rows, mode="append"))
        except adbc_driver_manager.Error as e:
            raise self._refused(e) from e

    @staticmethod
    def _refused(error: adbc_driver_manager.Error) -> Refused:
        return Refused(error.status_code.name, str(error))


@dataclass
class PyarrowClient:
    """Flight of pyarrow, with commands packed by hand. What it runs as it is, it prepares as well."""

    url: str

    def query(self, sql: str, headers: Headers = NO_HEADERS) -> pa.Table:
        with flight.connect(self.url) as client:
            options = call_options(headers)
            prepared, refusal = _outcome(lambda: self._prepare(client, sql, options))
            planned, error = _outcome(
                lambda: client.get_flight_info(descriptor(CommandStatementQuery(query=sql)), options)
            )
            assert (type(refusal), _without_id(refusal)) == (type(error), _without_id(error))
            if error is not None:
                raise error
            assert prepared is not None
            assert planned is not None
            told = pa.ipc.read_schema(pa.py_buffer(prepared.dataset_schema))
            assert told.equals(planned.schema, check_metadata=True)
            return self._run(client, CommandStatementQuery(query=sql), headers)

    def query_prepared(self, sql: str, parameters: pa.RecordBatch | None, headers: Headers = NO_HEADERS) -> pa.Table:
        with flight.connect(self.url) as client:
            try:
                created = self._prepare(client, sql, call_options(NO_HEADERS))
                command = CommandPreparedStatementQuery(prepared_statement_handle=created.prepared_statement_handle)
                if parameters is not None:
                    answer = put(client, command, parameters)
                    assert decode(DoPutPreparedStatementResult, answer).prepared_statement_handle
                table = self._run(client, command, headers)
                close = ActionClosePreparedStatementRequest(prepared_statement_handle=created.prepared_statement_handle)
                assert list(client.do_action(("ClosePreparedStatement", pack(close)))) == []
                return table
            except (pa.ArrowException, flight.FlightError) as e:
                raise self._refused(e) from e

    def ingest(self, table: str, rows: pa.RecordBatch) -> int:
        options = TableDefinitionOptions(
            if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_FAIL,
            if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
        )
        with flight.connect(self.url) as client:
            try:
                answer = put(client, CommandStatementIngest(table=table, table_definition_options=options), rows)
            except (pa.ArrowException, flight.FlightError) as e:
                raise self._refused(e) from e
            return decode(DoPutUpdateResult, answer).record_count

    def _prepare(
        self, client: flight.FlightClient, sql: str, options: flight.FlightCallOptions
    ) -> ActionCreatePreparedStatementResult:
        request = ("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql)))
        (prepared,) = client.do_action(request, options)
        created = unpack(prepared.body.to_pybytes())
        assert isinstance(created, ActionCreatePreparedStatementResult)
        return created

    def _run(self, client: flight.FlightClient, command: Message, headers: Headers) -> pa.Table:
        options = call_options(headers)
        try:
            info = client.get_flight_info(descriptor(command), options)
            (endpoint,) = info.endpoints
            assert endpoint.locations == []
            assert info.total_records == -1
            table = client.do_get(endpoint.ticket, options).read_all()
        except (pa.ArrowException, flight.FlightError) as e:
            raise self._refused(e) from e
        assert table.schema == info.schema
        assert client.get_schema(descriptor(command), options).schema == info.schema
        return table

    @staticmethod
    def _refused(error: Exception) -> Refused:
        codes: Sequence[tuple[type[Exception], str]] = (
            (pa.ArrowInvalid, "INVALID_ARGUMENT"),
            (pa.ArrowKeyError, "NOT_FOUND"),
            (NotImplementedError, "NOT_IMPLEMENTED"),
            (flight.FlightUnavailableError, "IO"),
            (flight.FlightCancelledError, "CANCELLED"),
            (flight.FlightInternalError, "INTERNAL"),
        )
        code = next((code for kind, code in codes if isinstance(error, kind)), type(error).__name__)
        return Refused(code, re.sub(r"\. gRPC client debug context.*", "", str(error), flags=re.DOTALL))


def _outcome(act: Callable[[], T]) -> tuple[T | None, Refused | None]:
    """What comes of a call: a value, or a refusal."""
    try:
        return act(), None
    except (pa.ArrowException, flight.FlightError) as error:
        return None, PyarrowClient._refused(error)


def _without_id(refusal: Refused | None) -> str:
    """What a refusal says but for the id of the query, and the traceback that a server of pyarrow.flight adds."""
    said, *_ = str(refusal).partition(" Detail: Python exception")
    return re.sub(r"query id \w+", "", said)


def descriptor(command: Message) -> flight.FlightDescriptor:
    return flight.FlightDescriptor.for_command(pack(command))


def call_options(headers: Headers) -> flight.FlightCallOptions:
    return flight.FlightCallOptions(headers=[(name.encode(), value.encode()) for name, value in headers.items()])


def put(client: flight.FlightClient, command: Message, *batches: pa.RecordBatch) -> bytes:
    """Send record batches and return the server's answer."""
    writer, reader = client.do_put(descriptor(command), batches[0].schema)
    with writer:
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        answer = reader.read()
    encoded: bytes = answer.to_pybytes()
    return encoded


class CookieJar(flight.ClientMiddlewareFactory):
    """Keeps the cookies of one connection."""

    def __init__(self) -> None:
        self.cookie: str | None = None

    def start_call(self, info: flight.CallInfo) -> "CookieMiddleware":
        return CookieMiddleware(self)


class CookieMiddleware(flight.ClientMiddleware):
    """Of one call."""

    def __init__(self, jar: CookieJar) -> None:
        self._jar = jar

    def sending_headers(self) -> dict[str, str]:
        return {} if self._jar.cookie is None else {"cookie": self._jar.cookie}

    def received_headers(self, headers: dict[str, list[Any]]) -> None:
        for cookie in headers.get("set-cookie", []):
            self._jar.cookie = cookie.partition(";")[0]
