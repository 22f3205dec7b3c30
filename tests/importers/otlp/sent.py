"""Requests of OTLP made by hand, and how they are sent."""

import http.client
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from flightsrv.client import QueryClient
from tests.gateway.http import Answer

START_NS = 1_767_261_600_000_000_000
"""2026-01-01T10:00:00Z"""

LOGS = "opentelemetry.proto.collector.logs.v1.LogsService"
TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"


def new_service() -> str:
    """A name that no other test has."""
    return f"service-{uuid.uuid4()}"


def attributes(**values: str | int | bool | float) -> list[KeyValue]:
    """Dots for double underscores."""
    names = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    return [
        KeyValue(key=key.replace("__", "."), value=AnyValue(**{names[type(value)]: value}))
        for key, value in values.items()
    ]


def resource(service: str, **values: str | int) -> Resource:
    return Resource(attributes=attributes(service__name=service, **values))


def logs_of(service: str, *records: LogRecord) -> ExportLogsServiceRequest:
    scope_logs = ScopeLogs(scope=InstrumentationScope(name="app"), log_records=records)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource(service), scope_logs=[scope_logs])])


def line(text: str, at_ns: int = 0, **values: Any) -> LogRecord:
    return LogRecord(time_unix_nano=START_NS + at_ns, body=AnyValue(string_value=text), severity_number=9, **values)


def call(port: int, service: str, request: bytes, token: str | None = None) -> bytes:
    """Raises grpc.RpcError."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary(f"/{service}/Export")
        answer: bytes = export(request, metadata=metadata, timeout=60)
        return answer


def post(
    url: str, path: str, body: bytes, kind: str = "application/x-protobuf", headers: Mapping[str, str] | None = None
) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": kind, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def process_id_of(client: QueryClient, service: str) -> str:
    """The only process of a service."""
    (process_id,) = client.query("SELECT process_id FROM processes WHERE exe = $1", [service])["process_id"].to_pylist()
    return str(process_id)


def messages_of(client: QueryClient, service: str) -> list[str]:
    """Of all lines of its log."""
    process_id = process_id_of(client, service)
    rows = client.query(f"SELECT msg FROM view_instance('log_entries', '{process_id}') ORDER BY time")
    return [str(text) for text in rows["msg"].to_pylist()]
