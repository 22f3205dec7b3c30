"""Client library: query a server, fetch traces, send telemetry.

    import flightsrv.client

    with flightsrv.client.connect("grpc://127.0.0.1:50051") as client:
        print(client.processes())
        client.trace_to_file(process_id, "minute.pftrace", begin="2026-01-01T10:00:00Z", end="2026-01-01T10:01:00Z")
        client.trace(process_id, begin="-60s")  # the last minute; a notebook shows a link that opens it

It lives beside other Flight SQL packages in one process: nothing here registers protobuf messages globally.
"""

from flightsrv.client.connection import QueryClient, connect
from flightsrv.client.errors import (
    Cancelled,
    FlightsrvError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ServerFailed,
    TooMuch,
    Unauthenticated,
    Unavailable,
)
from flightsrv.client.inline import Trace
from flightsrv.client.streams import QueryStream
from flightsrv.client.tls import Tls
from flightsrv.client.traces import FailedThread, TraceProgress, TraceResult, TraceStream

__all__ = [
    "Cancelled",
    "FailedThread",
    "FlightsrvError",
    "InvalidRequest",
    "NotFound",
    "PermissionDenied",
    "QueryClient",
    "QueryStream",
    "ServerFailed",
    "Tls",
    "TooMuch",
    "Trace",
    "TraceProgress",
    "TraceResult",
    "TraceStream",
    "Unauthenticated",
    "Unavailable",
    "connect",
]
