"""What HTTP itself asks for: methods, headers, bodies, parameters, compression."""

import gzip
import http.client
import json

import pytest

from flightsrv.client import QueryClient
from flightsrv.gateway.bodies import MAX_BODY_BYTES
from flightsrv.gateway.lifecycle import RunningGateway
from tests.client.fake_server import Chunk, Wait
from tests.gateway.conftest import Scripted
from tests.gateway.http import ask, asked
from tests.gateway.recorded import Job, Program, record

EVERYWHERE = ["/", "/docs", "/page/main.js", "/perfetto/", "/health", "/ready", "/metrics", "/api/openapi.json"]
OF_A_PROCESS = ["/api/processes/{}", "/api/processes/{}/threads", "/api/perfetto/{}/info", "/api/perfetto/{}/trace"]


@pytest.mark.parametrize("path", [*EVERYWHERE, "/api/processes", *OF_A_PROCESS])
def test_head_is_get_without_the_body(gateway: RunningGateway, small: str, path: str) -> None:
    """On every path, with the same headers, and nothing after them."""
    url = gateway.url + path.format(small)
    whole, head = ask(url), ask(url, "HEAD")
    assert (head.status, head.body) == (200, b"")
    differing = {"date"} if path != "/metrics" else {"date", "content-length"}
    assert [item for item in head.headers.items() if item[0] not in differing] == [
        item for item in whole.headers.items() if item[0] not in differing
    ]


def test_head_of_a_trace_that_there_is_not(gateway: RunningGateway) -> None:
    """Its status tells."""
    answer = ask(f"{gateway.url}/api/perfetto/nobody/trace", "HEAD")
    assert (answer.status, answer.body) == (404, b"")


def test_head_makes_no_trace(scripted: Scripted) -> None:
    """The server's work stops when it is known what it would answer."""
    fake, gateway = scripted(Chunk(0, b"names"), Wait())
    with asked(f"{gateway.url}/api/perfetto/some/trace", "HEAD") as answer:
        assert answer.status == 200
        assert fake.abandoned.wait(30)


def test_a_connection_goes_on_after_head(gateway: RunningGateway, small: str) -> None:
    """The next answer on it is that of the next request."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
    for method, body in (("HEAD", b""), ("GET", b'{"status":"ok"}')):
        connection.request(method, "/health")
        socket = connection.sock
        assert connection.getresponse().read() == body
    connection.request("HEAD", f"/api/perfetto/{small}/trace")
    assert connection.sock is socket
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("path", [*EVERYWHERE, "/api/processes", *OF_A_PROCESS, "/nothing", "/page/nothing"])
def test_no_answer_is_kept_embedded_or_taken_for_something_else(gateway: RunningGateway, small: str, path: str) -> None:
    """Neither by caches, nor by pages of other sites, nor by a browser that guesses types."""
    headers = ask(gateway.url + path.format(small)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    is_file = path in ("/", "/docs", "/page/main.js", "/perfetto/")
    assert headers["cache-control"] == ("no-cache" if is_file else "no-store")
    assert ("etag" in headers) == is_file


def test_a_file_that_has_not_changed_is_not_sent_again(gateway: RunningGateway) -> None:
    """Browsers ask, and are told."""
    first = ask(f"{gateway.url}/page/main.js")
    again = ask(f"{gateway.url}/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/perfetto/some/generate", 405),
        ("POST", "/api/perfetto/some/trace", 405),
        ("PUT", "/page/main.js", 405),
        ("BREW", "/api/processes", 405),
        ("GET", "/api/processes/", 404),
        ("GET", "/api/processes/a/b", 404),
        ("GET", "/page/", 404),
        ("GET", "/page/..%2fapp.py", 404),
        ("GET", "/perfetto/nothing", 404),
        ("GET", "/api/processes/%2e%2e", 422),
        ("GET", "/api/processes/a%0d%0aSet-Cookie:x", 422),
        ("GET", "/api/perfetto/%22;x=%22/trace", 422),
    ],
)
def test_what_is_not_there_is_an_error_in_json(gateway: RunningGateway, method: str, path: str, status: int) -> None:
    """Wrong methods, unknown paths, ids that no process has."""
    answer = ask(gateway.url + path, method)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json["type"] == "error"


def test_methods_that_somebody_makes_up_are_counted_as_one(gateway: RunningGateway) -> None:
    """Metrics do not grow with them."""
    ask(f"{gateway.url}/health", "BREW")
    assert b"BREW" not in ask(f"{gateway.url}/metrics").body


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_without_end_is_refused(gateway: RunningGateway, small: str, is_chunked: bool) -> None:
    """Long before it is read."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
    body = json.dumps({"time_range": None}).encode() + b" " * MAX_BODY_BYTES
    connection.request(
        "POST",
        f"/api/perfetto/{small}/generate",
        iter([body]) if is_chunked else body,
        {"Content-Type": "application/json"},
        encode_chunked=is_chunked,
    )
    response = connection.getresponse()
    assert response.status == 413
    assert json.load(response)["message"].startswith(f"a body has at most {MAX_BODY_BYTES} bytes")
    connection.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_is_no_request_for_a_trace(gateway: RunningGateway, small: str, kind: str) -> None:
    """Any site may send those; JSON only our page, and programs."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", {}, {"Content-Type": kind})
    assert (answer.status, answer.json["type"]) == (422, "error")


@pytest.mark.parametrize("path", ["/api/processes", *OF_A_PROCESS])
def test_a_parameter_that_is_misspelled_is_refused(gateway: RunningGateway, small: str, path: str) -> None:
    """It would change what is asked for, and nobody would see."""
    answer = ask(f"{gateway.url}{path.format(small)}?begni=2026-01-01T10:00:00Z")
    assert answer.status == 422
    assert answer.json["message"].startswith("query.begni: Unknown, ")


def test_lists_are_compressed_for_clients_that_accept_it(gateway: RunningGateway, client: QueryClient) -> None:
    """The threads of a process may be many."""
    process_id = record(client, Program({f"thread {number}": [Job(0, 1)] for number in range(50)}))
    url = f"{gateway.url}/api/processes/{process_id}/threads"
    zipped = ask(url, headers={"Accept-Encoding": "gzip"})
    assert (zipped.headers["content-encoding"], zipped.headers["vary"]) == ("gzip", "Accept-Encoding")
    for refused in ("", "gzip;q=0", "identity, gzip; q=0.0", "br"):
        plain = ask(url, headers={"Accept-Encoding": refused})
        assert "content-encoding" not in plain.headers
        assert gzip.decompress(zipped.body) == plain.body


def test_progress_waits_for_no_compressor(scripted: Scripted) -> None:
    """However much a client would like it compressed, what is told comes when it is told."""
    fake, gateway = scripted(Chunk(0, b"names"), Chunk(1, b"more"), Wait())
    with asked(f"{gateway.url}/api/perfetto/some/generate", "POST", {}, {"Accept-Encoding": "gzip"}) as answer:
        assert answer.read(24) == b'{"type":"binary_start"}\n'
        assert fake.waiting.wait(30)
