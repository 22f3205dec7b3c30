"""`POST /api/uploads`: what traced programs send, with the rights and limits of ingestion."""

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.server.lifecycle import RunningServer
from flightsrv.tracing.uploads import Block, Stream, encode_upload
from flightsrv.uploads import MAX_UPLOADS_BYTES
from tests.gateway.http import Answer
from tests.policy.auth.conftest import Guarded, guarded, transport
from tests.test_uploads import LEAST, PROCESS, SCOPES

__all__ = ["guarded", "transport"]

OTHER_SITE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}


def upload_of(process_id: str) -> bytes:
    """One span."""
    blocks = [Block(Stream(f"{process_id}-main", 0, {"thread-name": "main"}), 0, [10, 2, 20, -2], LEAST)]
    return encode_upload(PROCESS | {"process_id": process_id}, blocks, SCOPES)


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request("POST", "/api/uploads", body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def spans_of(url: str, process_id: str, token: str | None = None) -> list[str]:
    with connect(url, token) as client:
        found = client.query("SELECT name FROM process_spans($1, 'thread')", [process_id])
    return found["name"].to_pylist()


def test_what_is_acknowledged_is_stored_once(server: RunningServer, gateway: RunningGateway) -> None:
    """However often it is sent."""
    for _ in range(2):
        answer = post(gateway.url, upload_of("sent-twice"))
        assert (answer.status, answer.json) == (200, {"blocks": 1})
    assert spans_of(server.url, "sent-twice") == ["name 0"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"", {}, 400, "nothing was sent"),
        (b"x" * 100_000, {}, 400, "expected an upload"),
        (b"0\r\n\r\n", {"Transfer-Encoding": "chunked"}, 411, "Content-Length"),
        (b"", {"Content-Length": str(MAX_UPLOADS_BYTES + 1)}, 413, "at most"),
        (upload_of("of-a-page"), OTHER_SITE, 403, "other sites"),
        (upload_of("a/b"), {}, 400, "process_id"),
    ],
    ids=["empty", "nonsense", "chunked", "large", "other site", "refused"],
)
def test_what_is_wrong_is_refused(
    gateway: RunningGateway, body: bytes, headers: Mapping[str, str], status: int, message: str
) -> None:
    """With the reason."""
    answer = post(gateway.url, body, headers)
    assert answer.status == status
    assert message in answer.json["message"]


def test_writers_alone_may_send(guarded: Guarded) -> None:
    """The rights are those of the program's token, whatever the gateway has been told by others."""
    with running_gateway(guarded.url, GatewaySettings(port=0)) as gateway:
        for name, status in (("writer", 200), ("reader", 403), ("writer of mine", 403)):
            headers = {"Authorization": f"Bearer {guarded.tokens[name]}"}
            assert post(gateway.url, upload_of("of-a-writer"), headers).status == status, name
        assert post(gateway.url, upload_of("of-a-writer")).status == 401
        with tracing.start(gateway.url, token=guarded.tokens["writer"]) as session, tracing.span("with a token"):
            pass
    assert spans_of(guarded.url, session.process_id, guarded.tokens["admin"]) == ["with a token"]


def test_a_program_without_the_right_is_told(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """In its log; what it recorded waits, since tokens change."""
    with running_gateway(guarded.url, GatewaySettings(port=0)) as gateway:
        session = tracing.start(
            gateway.url, token=guarded.tokens["reader"], settings=tracing.Settings(vitals_every_s=None)
        )
        with tracing.span("not allowed"):
            pass
        assert not session.flush(0.1)
        assert session.stop(0.1) is False
    assert session.statistics().spooled_events == 2
    assert "status 403" in caplog.text
