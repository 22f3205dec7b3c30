"""Where telemetry goes: anything that takes a record batch for a table. What a sink needs is imported when used."""

from typing import TYPE_CHECKING, Protocol

from flightsrv.tracing.imports import importing

if TYPE_CHECKING:
    import pyarrow as pa

    from flightsrv.client import QueryClient, Tls
    from udtf.lake.lake import Lake


SEND_TIMEOUT_S = 60.0
"""A server that has not taken a batch by then is taken to be away; the batch comes again."""


class RefusedError(Exception):
    """The receiver has looked at a batch and will not take it; sending the same again is of no use."""


class Sink(Protocol):
    """Takes telemetry. The sender's thread alone calls it, one call at a time."""

    def send(self, table: str, batch: "pa.RecordBatch") -> None:
        """Hand over rows for the table `processes`, `streams` or `blocks`; return when they are stored.

        Raises:
            RefusedError: the batch is wrong; nothing of it was stored.
            Exception: anything else may pass, and the batch comes again.
        """

    def close(self) -> None:
        """Let go of connections and files."""


class FlightSink:
    """Sends to a server by bulk ingestion; connects when there is something to send."""

    def __init__(self, url: str, token: str | None = None, tls: "Tls | None" = None) -> None:
        self._url = url
        self._token = token
        self._tls = tls
        self._client: QueryClient | None = None

    def send(self, table: str, batch: "pa.RecordBatch") -> None:
        with importing:
            from flightsrv.client import InvalidRequest, connect
        if self._client is None:
            self._client = connect(self._url, self._token, tls=self._tls)
        try:
            self._client.ingest(table, batch, timeout_seconds=SEND_TIMEOUT_S)
        except InvalidRequest as error:
            raise RefusedError(str(error)) from error

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


class LakeSink:
    """Writes into a lake without a server; opens it when there is something to write."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lake: Lake | None = None

    def send(self, table: str, batch: "pa.RecordBatch") -> None:
        with importing:
            from udtf.errors import InvalidTelemetry
            from udtf.lake.lake import Lake
        if self._lake is None:
            self._lake = Lake.open(self._uri)
        try:
            self._lake.ingest(table, batch)
        except InvalidTelemetry as error:
            raise RefusedError(str(error)) from error

    def close(self) -> None:
        if self._lake is not None:
            self._lake.close()
