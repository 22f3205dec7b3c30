"""`GET /api/perfetto/{process_id}/trace`: a file for `curl -o`."""

import gzip
import http.client
import random

import pyarrow as pa
import pytest

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.client.fake_server import Chunk, Failure, Wait
from tests.gateway.conftest import Scripted
from tests.gateway.http import ask, asked


def test_the_file_is_that_of_the_flight_sql_client(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """Byte by byte, with a name that tells the process."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/trace")
    assert answer.status == 200
    assert answer.body == client.trace(small)
    assert answer.headers["content-disposition"] == f'attachment; filename="{small}.pftrace"'
    assert "content-encoding" not in answer.headers


def test_several_processes_are_in_one_file(
    gateway: RunningGateway, client: QueryClient, small: str, conductor: str
) -> None:
    """That of the Flight SQL client, each process once; and no more than are shown together."""
    answer = ask(f"{gateway.url}/api/perfetto/{small},{conductor},{small}/trace?span_types=thread")
    assert answer.body == client.trace([small, conductor], span_types="thread")
    assert answer.headers["content-disposition"] == f'attachment; filename="{small}_and_1_more.pftrace"'
    crowd = ask(f"{gateway.url}/api/perfetto/{','.join(map(str, range(101)))}/trace")
    assert (crowd.status, crowd.json["message"]) == (400, "process_ids must be at most 100, given: 101")
    assert ask(f"{gateway.url}/api/perfetto/{small},/trace").status == 422


def test_range_and_span_types_are_parameters(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """As the Flight SQL client takes them."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/trace?begin=2026-01-01T10:00:00.5Z&span_types=thread")
    assert answer.body == client.trace(small, begin="2026-01-01T10:00:00.5Z", span_types="thread")
    assert answer.body != client.trace(small, span_types="thread")


def test_compressed_for_clients_that_accept_it(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """With zstd or with gzip, and caches are told."""
    url = f"{gateway.url}/api/perfetto/{small}/trace"
    zipped = ask(url, headers={"Accept-Encoding": "gzip, deflate"})
    assert (zipped.headers["content-encoding"], zipped.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(zipped.body) == client.trace(small)
    zstd = ask(url, headers={"Accept-Encoding": "gzip, zstd"})
    assert zstd.headers["content-encoding"] == "zstd"
    assert pa.input_stream(pa.BufferReader(zstd.body), compression="zstd").read() == client.trace(small)


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_half_a_trace_is_never_complete(scripted: Scripted, coding: str) -> None:
    """The connection breaks when the server fails half way."""
    half = random.Random(0).randbytes(4 << 20)
    _, gateway = scripted(Chunk(0, b"names"), Chunk(1, half), Failure(pa.ArrowInvalid("a corrupt block")))
    with (
        asked(f"{gateway.url}/api/perfetto/some/trace", headers={"Accept-Encoding": coding}) as answer,
        pytest.raises(http.client.IncompleteRead),
    ):
        answer.read()


def test_a_failure_before_the_first_byte_is_a_status(scripted: Scripted) -> None:
    """In words, without a file."""
    _, gateway = scripted(Failure(pa.flight.FlightInternalError("internal error 12ab")))
    answer = ask(f"{gateway.url}/api/perfetto/some/trace")
    assert (answer.status, answer.json["message"]) == (502, "internal error 12ab")


def test_leaving_stops_the_work_of_the_server(scripted: Scripted) -> None:
    """Half way through a download."""
    fake, gateway = scripted(Chunk(0, b"names"), Wait())
    with asked(f"{gateway.url}/api/perfetto/some/trace") as answer:
        assert answer.read(5) == b"names"
        assert fake.waiting.wait(30)
    assert fake.abandoned.wait(30)


def test_a_corrupt_thread_fails_a_strict_trace_only(scripted: Scripted) -> None:
    """The server is asked for the one or the other."""
    fake, gateway = scripted(Chunk(0, b"names"))
    ask(f"{gateway.url}/api/perfetto/some/trace")
    ask(f"{gateway.url}/api/perfetto/some/trace?strict=true")
    asked_with = [headers["trace_strict"] for headers in fake.headers if "trace_strict" in headers]
    assert asked_with == [["false"]] * 2 + [["true"]] * 2


@pytest.mark.parametrize(
    ("query", "status", "complaint"),
    [
        ("begin=noon", 400, "begin must be a time"),
        ("begin=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", 400, "begin must not be after end"),
        (
            "span_types=fibers",
            422,
            "query.span_types: Input should be 'thread', 'async', 'both' or 'all', given: 'fibers'",
        ),
        ("strict=perhaps", 422, "query.strict"),
    ],
)
def test_bad_arguments_are_refused(
    gateway: RunningGateway, small: str, query: str, status: int, complaint: str
) -> None:
    """With what was expected, and what came."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/trace?{query}")
    assert answer.status == status
    assert complaint in answer.json["message"]
