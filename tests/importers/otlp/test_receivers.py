"""OTLP over gRPC and HTTP: what is taken, what is refused and how, and that what is acknowledged is stored once."""

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from flightsrv.client import QueryClient, connect
from flightsrv.gateway import exports
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.importers.otlp import MAX_EXPORT_BYTES
from flightsrv.server.lifecycle import running_server
from tests.importers.otlp.conftest import Receiver
from tests.importers.otlp.sent import LOGS, START_NS, call, line, logs_of, messages_of, new_service, post
from tests.policy.auth.conftest import Guarded, guarded, transport
from udtf.errors import StoreFull, StoreUnavailable
from udtf.lake.lake import Lake

__all__ = ["guarded", "transport"]

JSON = "application/json"


def as_json(service: str, *texts: str) -> bytes:
    """As OTLP has it: ids in hexadecimal digits, numbers of 64 bits as text; fields that are not known yet."""
    records = [
        {
            "timeUnixNano": str(START_NS),
            "severityNumber": 9,
            "body": {"stringValue": text},
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": "EEE19B7EC3C1B174",
            "newField": {"of": "tomorrow"},
        }
        for text in texts
    ]
    attribute = {"key": "service.name", "value": {"stringValue": service}}
    logs = {"resource": {"attributes": [attribute]}, "scopeLogs": [{"scope": {}, "logRecords": records}]}
    return json.dumps({"resourceLogs": [logs]}).encode()


def test_every_way_in(receiver: Receiver, client: QueryClient) -> None:
    """By gRPC at both ports; by HTTP at both, in protobuf and JSON, compressed or not, at once or in chunks."""
    service = new_service()
    sent = []

    def next_line() -> bytes:
        sent.append(f"line {len(sent)}")
        return logs_of(service, line(sent[-1], len(sent))).SerializeToString()

    for port in receiver.grpc_ports:
        assert call(port, LOGS, next_line()) == b""
    for url in receiver.http_urls:
        for body, headers in (
            (next_line(), {}),
            (gzip.compress(next_line()), {"Content-Encoding": "gzip"}),
        ):
            answer = post(url, "/v1/logs", body, headers=headers)
            assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/x-protobuf")
    chunked = next_line()
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunked), chunked)
    assert post(receiver.exports.url, "/v1/logs", body, headers={"Transfer-Encoding": "chunked"}).status == 200
    assert messages_of(client, service) == sent
    in_json = new_service()
    answer = post(receiver.gateway.url, "/v1/logs", as_json(in_json, "in JSON"), JSON)
    assert (answer.status, answer.json, answer.headers["content-type"]) == (200, {}, JSON)
    assert messages_of(client, in_json) == ["in JSON"]


def test_what_is_sent_again_is_stored_once(receiver: Receiver, client: QueryClient) -> None:
    """Whichever way it comes: the answer to the first time may have been lost. What is not the same is stored."""
    service = new_service()
    request, other = (logs_of(service, line(text)).SerializeToString() for text in ("once", "other"))
    call(receiver.grpc_ports[0], LOGS, request)
    call(receiver.grpc_ports[1], LOGS, request)
    post(receiver.gateway.url, "/v1/logs", request)
    call(receiver.grpc_ports[0], LOGS, other)
    assert sorted(messages_of(client, service)) == ["once", "other"]


def test_what_is_sent_again_after_a_restart_is_stored_once(tmp_path: Path) -> None:
    """The lake knows what came last."""
    service = new_service()
    request = logs_of(service, line("once")).SerializeToString()
    for _ in range(2):
        with running_server(str(tmp_path / "lake")) as server:
            call(server.port, LOGS, request)
            with connect(server.url) as client:
                assert messages_of(client, service) == ["once"]


def test_many_at_once(receiver: Receiver, client: QueryClient) -> None:
    """They append to the same stream, and none is lost; times in any order."""
    service = new_service()

    def send(number: int) -> None:
        for part in range(5):
            request = logs_of(service, *(line(f"{number} {part} {i}", 1000 - 100 * part + i) for i in range(3)))
            call(receiver.grpc_ports[number % 2], LOGS, request.SerializeToString())

    with ThreadPoolExecutor(8) as senders:
        list(senders.map(send, range(8)))
    expected = [f"{number} {part} {i}" for number in range(8) for part in range(5) for i in range(3)]
    assert sorted(messages_of(client, service)) == sorted(expected)


def test_what_is_wrong_is_left_out_and_told(receiver: Receiver, client: QueryClient) -> None:
    """A partial success: the rest is stored."""
    service = new_service()
    request = logs_of(service, line("right"), line("wrong", (1 << 63) - START_NS)).SerializeToString()
    answer = ExportLogsServiceResponse.FromString(call(receiver.grpc_ports[0], LOGS, request))
    assert answer.partial_success.rejected_log_records == 1
    assert "after 2262" in answer.partial_success.error_message
    told = post(receiver.gateway.url, "/v1/logs", request)
    assert ExportLogsServiceResponse.FromString(told.body) == answer
    assert messages_of(client, service) == ["right"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"\xff", {}, 400, "no ExportLogsServiceRequest"),
        (b"{", {"Content-Type": JSON}, 400, "no ExportLogsServiceRequest"),
        (b'{"resourceLogs": 1}', {"Content-Type": JSON}, 400, "no ExportLogsServiceRequest"),
        (as_json("a", "b").replace(b"EEE1", b"xyz1"), {"Content-Type": JSON}, 400, "hexadecimal"),
        (b"[" * 100_000, {"Content-Type": JSON}, 400, "no ExportLogsServiceRequest"),
        (b"", {"Content-Type": "text/plain"}, 415, "'text/plain'"),
        (b"", {"Content-Encoding": "br"}, 415, "'br'"),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400, "decompressed"),
        (gzip.compress(b"half of it")[:-4], {"Content-Encoding": "gzip"}, 400, "whole gzip member"),
        (gzip.compress(bytes(MAX_EXPORT_BYTES + 1)), {"Content-Encoding": "gzip"}, 413, "without compression"),
        (b"", {"Content-Length": str(MAX_EXPORT_BYTES + 1)}, 413, "at most"),
    ],
    ids=["bytes", "cut", "shape", "id", "deep", "type", "encoding", "no gzip", "half", "bomb", "large"],
)
def test_refusals_over_http(
    receiver: Receiver, body: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    """In the encoding of the request, with the reason; a sender does not try these again."""
    answer = post(receiver.exports.url, "/v1/logs", body, headers=headers)
    is_json = headers.get("Content-Type") == JSON
    told = answer.json["message"] if is_json else Status.FromString(answer.body).message
    assert (answer.status, message in told) == (status, True), told
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (bytes(MAX_EXPORT_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["bytes", "large"],
)
def test_refusals_over_grpc(receiver: Receiver, request_bytes: bytes, code: grpc.StatusCode) -> None:
    """For good: without a time to try again."""
    for port in receiver.grpc_ports:
        with pytest.raises(grpc.RpcError) as refused:
            call(port, LOGS, request_bytes)
        assert refused.value.code() == code
        assert "grpc-status-details-bin" not in dict(refused.value.trailing_metadata() or ())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreFull("no room"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (StoreUnavailable("no answer"), grpc.StatusCode.UNAVAILABLE),
    ],
    ids=["full", "unavailable"],
)
def test_what_may_be_stored_later_is_to_come_again(receiver: Receiver, error: Exception, code: grpc.StatusCode) -> None:
    """By gRPC with RetryInfo, by HTTP with Retry-After."""
    request = logs_of(new_service(), line("later")).SerializeToString()
    with patch.object(Lake, "ingest", side_effect=error):
        with pytest.raises(grpc.RpcError) as refused:
            call(receiver.grpc_ports[1], LOGS, request)
        answer = post(receiver.gateway.url, "/v1/logs", request)
    details = Status.FromString(dict(refused.value.trailing_metadata())["grpc-status-details-bin"])
    retry = RetryInfo()
    assert (refused.value.code(), details.code, details.details[0].Unpack(retry)) == (code, code.value[0], True)
    assert retry.retry_delay.seconds == 1
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    with patch.object(exports, "MAX_BYTES", 0):
        answer = post(receiver.gateway.url, "/v1/logs", request)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


def test_writers_alone_may_send(guarded: Guarded) -> None:
    """Each with its own token, by HTTP and, where the transport takes it, by gRPC."""
    request = logs_of("of-a-writer", line("allowed")).SerializeToString()
    with running_gateway(guarded.url, GatewaySettings(port=0)) as gateway:
        for name, status in (("writer", 200), ("reader", 403), ("writer of mine", 403)):
            basic = base64.b64encode(f"{name}:{guarded.tokens[name]}".encode()).decode()
            for authorization in (f"Bearer {guarded.tokens[name]}", f"Basic {basic}"):
                answer = post(gateway.url, "/v1/logs", request, headers={"Authorization": authorization})
                assert answer.status == status, name
        assert post(gateway.url, "/v1/logs", request).status == 401
        other_site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert post(gateway.url, "/v1/logs", request, headers=other_site).status == 403


def test_writers_alone_may_send_by_grpc(guarded: Guarded, transport: str) -> None:
    if transport == "pyarrow":
        pytest.skip("pyarrow.flight takes no other service on its port")
    request = logs_of("of-a-writer", line("allowed")).SerializeToString()
    port = guarded.server.port
    assert call(port, LOGS, request, guarded.tokens["writer"]) == b""
    for token, code in (
        (None, grpc.StatusCode.UNAUTHENTICATED),
        (guarded.tokens["reader"], grpc.StatusCode.PERMISSION_DENIED),
        (guarded.tokens["writer of mine"], grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call(port, LOGS, request, token)
        assert refused.value.code() == code
