"""Requests and answers of OTLP as bytes, in protobuf and in JSON.

Its JSON is that of protobuf, but that ids are hexadecimal digits: https://opentelemetry.io/docs/specs/otlp/.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from flightsrv.importers.otlp.columns import Rejections


class InvalidExport(Exception):
    """The bytes are no request; the message says what is wrong."""


class Encoding(Enum):
    """How messages are sent over HTTP, by their content types."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass(frozen=True)
class Signal:
    """What one kind of request exports.

    Attributes:
        name: `traces`, `logs`, `metrics`.
        method: of gRPC, with its service.
        path: of HTTP.
        rejected: the field of a partial success that counts what was left out.
    """

    name: str
    service: str
    request: type[Message]
    response: type[Any]
    rejected: str

    @property
    def path(self) -> str:
        return f"/v1/{self.name}"

    def decode(self, data: bytes, encoding: Encoding = Encoding.PROTOBUF) -> Any:
        """The request that some bytes are.

        Raises:
            InvalidExport: they are none.
        """
        request = self.request()
        try:
            if encoding == Encoding.PROTOBUF:
                request.ParseFromString(data)
            else:
                json_format.ParseDict(_with_base64(json.loads(data)), request, ignore_unknown_fields=True)
        except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError) as error:
            reason = str(error).partition("\n")[0][:300]
            raise InvalidExport(f"the body is no {self.request.DESCRIPTOR.name}: {reason}") from None
        return request

    def answer(self, rejections: Rejections) -> Message:
        """What says that all but these are stored."""
        response = self.response()
        if rejections.reasons:
            partial: Any = response.partial_success
            setattr(partial, self.rejected, rejections.count)
            partial.error_message = rejections.message
        message: Message = response
        return message


def encode(message: Message, encoding: Encoding) -> bytes:
    """An answer as bytes."""
    if encoding == Encoding.JSON:
        text: str = json_format.MessageToJson(message, indent=None)
        return text.encode()
    return message.SerializeToString()


SIGNALS: Mapping[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal(
            "traces",
            "opentelemetry.proto.collector.trace.v1.TraceService",
            traces.ExportTraceServiceRequest,
            traces.ExportTraceServiceResponse,
            "rejected_spans",
        ),
        Signal(
            "logs",
            "opentelemetry.proto.collector.logs.v1.LogsService",
            logs.ExportLogsServiceRequest,
            logs.ExportLogsServiceResponse,
            "rejected_log_records",
        ),
        Signal(
            "metrics",
            "opentelemetry.proto.collector.metrics.v1.MetricsService",
            metrics.ExportMetricsServiceRequest,
            metrics.ExportMetricsServiceResponse,
            "rejected_data_points",
        ),
    )
}
"""By their names."""

_IDS = {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}


def _with_base64(node: Any) -> Any:
    """JSON with ids in base64, as protobuf has bytes. No keys but those of messages are in there."""
    if isinstance(node, list):
        return [_with_base64(each) for each in node]
    if isinstance(node, dict):
        return {key: _id(value) if key in _IDS else _with_base64(value) for key, value in node.items()}
    return node


def _id(digits: Any) -> Any:
    if not isinstance(digits, str):
        return digits
    try:
        return base64.b64encode(bytes.fromhex(digits)).decode()
    except (ValueError, binascii.Error):
        raise InvalidExport(f"an id is {digits[:100]!r}, expected hexadecimal digits") from None
