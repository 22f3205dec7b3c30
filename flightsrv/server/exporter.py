"""Telemetry that comes by OTLP, into the lake of a server."""

from collections.abc import Mapping

import pyarrow as pa

from flightsrv.flight.call import Call
from flightsrv.importers.otlp import MAX_EXPORT_BYTES, SIGNALS, Encoding, Exports, InvalidExport, encode
from flightsrv.policy.auth.principal import Role
from udtf.errors import InvalidArgument, InvalidTelemetry


class LakeExporter:
    """See `flightsrv.flight.transports.transport.Exporter`."""

    services: Mapping[str, str] = {signal.service: signal.name for signal in SIGNALS.values()}
    max_bytes = MAX_EXPORT_BYTES

    def __init__(self) -> None:
        self._exports = Exports()

    def export(self, call: Call, signal: str, request: bytes) -> bytes:
        """Store what a request of a signal has; the answer says what was left out.

        Raises:
            InvalidArgument: the bytes are no such request.
            InvalidTelemetry: the lake refuses what it has; nothing was stored.
            PermissionDenied: the caller may not write, or not to these processes.
        """
        call.kind = "ingestion"
        call.statement = f"ingest {signal} by OTLP"
        call.principal.require(Role.WRITER, "to ingest")
        try:
            message = SIGNALS[signal].decode(request)
        except InvalidExport as error:
            raise InvalidArgument(str(error)) from error
        visible = call.principal.visible_processes
        lake = call.services.lake if visible is None else call.services.lake.limited_to(visible)

        def ingest(table: str, batch: pa.RecordBatch) -> None:
            call.rows += lake.ingest(table, batch)

        answer = self._exports.store(SIGNALS[signal], message, ingest, InvalidTelemetry)
        call.size_bytes = len(request)
        call.succeed()
        return encode(answer, Encoding.PROTOBUF)
