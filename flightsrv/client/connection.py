"""The connection to a server: queries, traces, ingestion."""

import copy
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pyarrow as pa
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.client.errors import (
    FlightsrvError,
    InvalidRequest,
    NotFound,
    ServerFailed,
    Unavailable,
    expecting_sense,
    translated_errors,
)
from flightsrv.client.inline import Trace
from flightsrv.client.process_ids import whole_process_id, with_children
from flightsrv.client.streams import QueryStream
from flightsrv.client.times import Time, range_ns, rfc3339
from flightsrv.client.tls import Tls
from flightsrv.client.traces import ProgressCallback, TraceResult, TraceStream, trace_statement, write_trace
from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_sql_pb2 import (
    ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandGetSqlInfo,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
    DoPutPreparedStatementResult,
    DoPutUpdateResult,
)

if TYPE_CHECKING:
    import pandas as pd

Parameters: TypeAlias = Sequence[Any] | pa.RecordBatch
"""Values for $1, $2 and so on (Python values or pyarrow scalars), or a batch of one row."""

PLAN_TIMEOUT_S = 90.0
"""A trace may take as long as it likes, but not what comes before it: no caller waits longer for admission."""

CLOSE_TIMEOUT_S = 5.0
"""A prepared statement that could not be closed by then is left to the server, which forgets it in time."""

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

SCHEMES = ("grpc://", "grpc+tls://", "grpc+tcp://", "grpc+unix://")

_Headers = list[tuple[bytes, bytes]]


def connect(
    url: str, token: str | None = None, timeout_seconds: float = 10.0, *, tls: Tls | None = None
) -> "QueryClient":
    """Connect to a server at `grpc://host:port` or `grpc+tls://host:port`, with a bearer token if it wants one.

    `tls` says which servers to believe in, and shows a certificate to those that ask for one.

    Raises:
        Unavailable: no server answers there within the timeout.
        Unauthenticated: the server wants another token.
        InvalidRequest: the address cannot be understood, or a file of `tls` cannot be read.
    """
    client = QueryClient(url, token, tls)
    try:
        client.check(timeout_seconds)
    except BaseException:
        client.close()
        raise
    return client


class QueryClient:
    """A connection that several threads may use at once.

    Every method raises a `FlightsrvError`, and others only where it says so: `InvalidRequest` for what the caller can
    put right, `Unavailable` when the server is gone, `ServerFailed` for problems of the server. Nothing is tried twice.

    In each method `begin` and `end` limit the time that the query looks at, in any form that `flightsrv.client.times`
    reads: `begin="-60s"` is the last minute. Both ends are included; without them it looks at the whole life of a
    process. Of a process id, the first characters are enough where no other process has the same.
    `timeout_seconds` is how long each of the server's answers may take, that with the rows to its end; after that, the
    query is stopped, and the error is `Unavailable`.
    """

    def __init__(self, url: str, token: str | None = None, tls: Tls | None = None) -> None:
        """Use `connect`, which also finds out whether the server is there."""
        if not url.startswith(SCHEMES):
            raise InvalidRequest(f"a server's address begins with grpc:// or grpc+tls://, given: {url!r}")
        self._url = url
        self._headers: _Headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[QueryStream] = weakref.WeakSet()
        self._closed = False
        with translated_errors():
            self._flight = flight.connect(url, **(tls or Tls()).options())

    def for_caller(self, authorization: str) -> "QueryClient":
        """This connection with another header `authorization`; it ends when this one is closed."""
        client = copy.copy(self)
        client._headers = [(b"authorization", authorization.encode())]
        return client

    def check(self, timeout_seconds: float) -> None:
        """Ask the server for something small; raises as `connect` does."""
        # Not for its actions or flights, nor for rows by `read_all`: when the server answers CANCELLED to those,
        # pyarrow interrupts the main thread of the program, from whatever thread they were asked. And not for a
        # schema, where pyarrow knows no status.
        command = _descriptor(CommandGetSqlInfo())
        try:
            with translated_errors():
                self._flight.get_flight_info(command, self._options([], timeout_seconds))
        except Unavailable as error:
            # What a server that expects TLS does with a caller without it.
            hint = "; if it speaks TLS, its address begins with grpc+tls://" if "Socket closed" in str(error) else ""
            raise Unavailable(f"no server answers at {self._url}: {error}{hint}") from error
        except InvalidRequest:
            pass  # it answers, and speaks no Flight SQL

    def query(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        begin: Time | None = None,
        end: Time | None = None,
        timeout_seconds: float | None = None,
    ) -> pa.Table:
        """The whole result of a query."""
        with self.stream(sql, parameters, begin=begin, end=end, timeout_seconds=timeout_seconds) as batches:
            return pa.Table.from_batches(batches, batches.schema)

    def query_pandas(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        begin: Time | None = None,
        end: Time | None = None,
        timeout_seconds: float | None = None,
    ) -> "pd.DataFrame":
        """The whole result of a query as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise ImportError("query_pandas needs pandas: pip install 'flightsrv[pandas]'") from error
        return self.query(sql, parameters, begin=begin, end=end, timeout_seconds=timeout_seconds).to_pandas()

    def stream(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        begin: Time | None = None,
        end: Time | None = None,
        timeout_seconds: float | None = None,
    ) -> QueryStream:
        """The record batches of a query as they arrive; closing the stream stops the server's work."""
        if not isinstance(sql, str):
            raise InvalidRequest(f"sql must be text, given: {sql!r}")
        options = self._options(_range_headers(begin, end), timeout_seconds)
        if parameters is None or (isinstance(parameters, Sequence) and not parameters):
            return self._run(CommandStatementQuery(query=sql), options)
        return self._run_prepared(sql, _parameters_batch(parameters), options)

    def processes(self) -> pa.Table:
        """All processes in the lake, in order of their start."""
        return self.query("SELECT * FROM processes ORDER BY start_time, process_id")

    def with_children(self, process_id: str | Sequence[str]) -> list[str]:
        """The id of a process, or of several, and those of all that they started, that these started, and so on: what
        a trace takes to show them together."""
        return with_children(self.query, [process_id] if isinstance(process_id, str) else process_id)

    def trace_chunks(
        self,
        process_id: str | Sequence[str],
        *,
        begin: Time | None = None,
        end: Time | None = None,
        span_types: str = "all",
        strict: bool = False,
        progress: ProgressCallback | None = None,
    ) -> TraceStream:
        """The Perfetto trace of a process, or of several, in chunks as they arrive; joined they are the trace file.

        `span_types` is 'thread', 'async', 'both', or 'all', which has logs and counters as well. A thread that cannot
        be read is missing in the trace and listed in the stream's `result`; with `strict` it is an error. `progress`
        is called in the reading thread.
        """
        headers = [(b"trace_progress", b"true"), (b"trace_strict", b"true" if strict else b"false")]
        begin, end = range_ns(begin, end)
        options, planning = self._options(headers), self._options(headers, PLAN_TIMEOUT_S)

        def run(process_ids: Sequence[str]) -> TraceStream:
            statement = trace_statement(process_ids, begin, end, span_types)
            return TraceStream(self._run(CommandStatementQuery(query=statement), options, planning=planning), progress)

        given = [process_id] if isinstance(process_id, str) else list(process_id)
        try:
            return run(given)
        except NotFound:
            whole = [whole_process_id(self.query, prefix) or prefix for prefix in given]
            if whole == given:
                raise
        return run(whole)

    def trace(
        self,
        process_id: str | Sequence[str],
        *,
        begin: Time | None = None,
        end: Time | None = None,
        span_types: str = "all",
        strict: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Trace:
        """The Perfetto trace of a process as bytes, which a notebook shows as a link; see `trace_chunks`."""
        with self.trace_chunks(
            process_id, begin=begin, end=end, span_types=span_types, strict=strict, progress=progress
        ) as chunks:
            return Trace(b"".join(chunks), chunks.result)

    def trace_to_file(
        self,
        process_id: str | Sequence[str],
        path: str | os.PathLike[str],
        *,
        begin: Time | None = None,
        end: Time | None = None,
        span_types: str = "all",
        strict: bool = False,
        progress: ProgressCallback | None = None,
    ) -> TraceResult:
        """Write the Perfetto trace of a process to a file, which appears when it is whole; see `trace_chunks`.

        Raises:
            OSError: the file cannot be written.
        """
        with self.trace_chunks(
            process_id, begin=begin, end=end, span_types=span_types, strict=strict, progress=progress
        ) as chunks:
            return write_trace(chunks, path)

    def ingest(self, table: str, rows: pa.Table | pa.RecordBatch, *, timeout_seconds: float | None = None) -> int:
        """Append rows to `processes`, `streams` or `blocks`; returns how many the server took.

        Every record batch is stored whole or not at all. Sending rows again is harmless.
        """
        if isinstance(rows, pa.RecordBatch):
            rows = pa.Table.from_batches([rows])
        command = CommandStatementIngest(
            table=table,
            table_definition_options=TableDefinitionOptions(
                if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_FAIL,
                if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
            ),
        )
        result = self._put(command, rows, self._options([], timeout_seconds))
        if result is None:
            raise ServerFailed(f"the server did not say how many rows it took into {table!r}")
        with expecting_sense():
            return decode(DoPutUpdateResult, result).record_count

    def close(self) -> None:
        """Stop what is running and close the connection; harmless when called again."""
        with self._lock:
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        self._flight.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(
        self,
        command: Message,
        options: flight.FlightCallOptions,
        on_end: Callable[[], None] | None = None,
        planning: flight.FlightCallOptions | None = None,
    ) -> QueryStream:
        with translated_errors():
            info = self._flight.get_flight_info(_descriptor(command), planning or options)
            if len(info.endpoints) != 1:
                raise ServerFailed(f"the server offers the result in {len(info.endpoints)} parts, expected one")
            reader = self._flight.do_get(info.endpoints[0].ticket, options)
        stream = QueryStream(reader, on_end)
        with self._lock:
            self._streams.add(stream)
            closed = self._closed
        if closed:
            stream.cancel()
        return stream

    def _run_prepared(self, sql: str, parameters: pa.RecordBatch, options: flight.FlightCallOptions) -> QueryStream:
        """Prepare, bind, run; the statement is closed when its stream ends."""
        request = flight.Action("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql)))
        with translated_errors():
            answers = list(self._flight.do_action(request, options))
        with expecting_sense():
            (answer,) = answers
            prepared = unpack(answer.body.to_pybytes())
        if not isinstance(prepared, ActionCreatePreparedStatementResult):
            raise ServerFailed("the server did not answer with a prepared statement")
        handle = prepared.prepared_statement_handle
        try:
            bound = self._put(
                CommandPreparedStatementQuery(prepared_statement_handle=handle),
                pa.Table.from_batches([parameters]),
                options,
            )
            if bound is not None:
                # A server that keeps no state puts the parameters into a handle of their own.
                with expecting_sense():
                    handle = decode(DoPutPreparedStatementResult, bound).prepared_statement_handle or handle
            return self._run(
                CommandPreparedStatementQuery(prepared_statement_handle=handle),
                options,
                lambda: self._close_prepared(handle),
            )
        except BaseException:
            self._close_prepared(handle)
            raise

    def _close_prepared(self, handle: bytes) -> None:
        request = flight.Action(
            "ClosePreparedStatement", pack(ActionClosePreparedStatementRequest(prepared_statement_handle=handle))
        )
        try:
            with translated_errors():
                list(self._flight.do_action(request, self._options([], CLOSE_TIMEOUT_S)))
        except FlightsrvError:
            pass  # the server forgets it in time; the query itself is done or has failed for its own reason

    def _put(self, command: Message, rows: pa.Table, options: flight.FlightCallOptions) -> bytes | None:
        """Send rows with a command; returns what the server answers, if anything."""
        with translated_errors():
            writer, answers = self._flight.do_put(_descriptor(command), rows.schema, options)
            with writer:
                writer.write_table(rows)
                writer.done_writing()
                answer = answers.read()
                # One is expected; the end of the call never comes while there is one that was not read.
                while answer is not None and answers.read() is not None:
                    pass
        return None if answer is None else answer.to_pybytes()

    def _options(self, headers: _Headers, timeout_seconds: float | None = None) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=timeout_seconds, headers=[*self._headers, *headers])


def _descriptor(command: Message) -> flight.FlightDescriptor:
    return flight.FlightDescriptor.for_command(pack(command))


def _range_headers(begin: Time | None, end: Time | None) -> _Headers:
    return [
        (f"query_range_{name}".encode(), rfc3339(limit_ns).encode())
        for name, limit_ns in zip(("begin", "end"), range_ns(begin, end), strict=True)
        if limit_ns is not None
    ]


def _parameters_batch(parameters: Parameters) -> pa.RecordBatch:
    if isinstance(parameters, pa.RecordBatch):
        return parameters
    columns = {str(position): _parameter_column(value) for position, value in enumerate(parameters, 1)}
    return pa.RecordBatch.from_pydict(columns)


def _parameter_column(value: Any) -> pa.Array:
    """One row; the type of a pyarrow scalar is kept."""
    try:
        return pa.array([value], value.type if isinstance(value, pa.Scalar) else None)
    except (pa.ArrowException, OverflowError) as error:
        raise InvalidRequest(f"a parameter cannot be sent: {error}") from error
