"""OTLP, the protocol of OpenTelemetry, made into telemetry: what a request exports becomes rows to ingest.

`requests` has the messages as bytes, protobuf or JSON; `resources` makes processes of what sends; `spans`, `logs` and
`metrics` gather events, `columns` has them; `values` are attributes, some of which say where in the `source` something
is; `store` hands on what came, and answers.
"""

from flightsrv.importers.otlp.requests import SIGNALS, Encoding, InvalidExport, Signal, encode
from flightsrv.importers.otlp.store import MAX_EXPORT_BYTES, Exports

__all__ = ["MAX_EXPORT_BYTES", "SIGNALS", "Encoding", "Exports", "InvalidExport", "Signal", "encode"]
