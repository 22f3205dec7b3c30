"""Errors of a server become errors of the client, with messages for a user."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pyarrow as pa
import pytest
from grpc import StatusCode
from pyarrow import flight

import flightsrv.client
from flightsrv.client import (
    Cancelled,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ServerFailed,
    TooMuch,
    Unauthenticated,
    Unavailable,
)
from tests.client.fake_server import Failure, serving


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (pa.ArrowInvalid("span_types must be 'thread', given: 'x'"), InvalidRequest),
        (pa.ArrowNotImplementedError("no such thing"), InvalidRequest),
        (pa.ArrowKeyError("no process 'p'"), NotFound),
        (flight.FlightUnauthenticatedError("who are you?"), Unauthenticated),
        (flight.FlightUnauthorizedError("not for you"), PermissionDenied),
        (flight.FlightUnavailableError("the server stops"), Unavailable),
        (flight.FlightTimedOutError("too slow"), Unavailable),
        (flight.FlightCancelledError("stopped"), Cancelled),
        (flight.FlightInternalError("disk on fire"), ServerFailed),
        (flight.FlightServerError("something else"), ServerFailed),
        (RuntimeError("a bug"), ServerFailed),
    ],
)
def test_each_status_has_its_class_and_a_clean_message(raised, expected):
    """No detail of the transport, no traceback, and the original error as the cause."""
    with (
        serving(Failure(raised)) as server,
        flightsrv.client.connect(server.url) as client,
        pytest.raises(flightsrv.client.FlightsrvError) as caught,
    ):
        client.query("SELECT 1")
    assert type(caught.value) is expected
    assert str(caught.value) == str(raised).strip('"')
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (StatusCode.RESOURCE_EXHAUSTED, TooMuch),
        (StatusCode.ALREADY_EXISTS, InvalidRequest),
        (StatusCode.UNIMPLEMENTED, InvalidRequest),
        (StatusCode.NOT_FOUND, NotFound),
        (StatusCode.UNAUTHENTICATED, Unauthenticated),
        (StatusCode.PERMISSION_DENIED, PermissionDenied),
        (StatusCode.UNAVAILABLE, Unavailable),
        (StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (StatusCode.CANCELLED, Cancelled),
        (StatusCode.INTERNAL, ServerFailed),
        (StatusCode.UNKNOWN, ServerFailed),
        (StatusCode.DATA_LOSS, ServerFailed),
    ],
)
def test_each_code_of_grpc_has_its_class_and_a_clean_message(code: StatusCode, expected: type[Exception]) -> None:
    """As servers send it that are not made of pyarrow, in answers and in the middle of rows or of an upload."""
    message = "table 'a' is here: first. Then, with message: 100 %"

    def abort(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests, None)
        context.abort(code, message)
        yield b""

    methods = dict.fromkeys(("GetFlightInfo", "DoPut"), grpc.stream_stream_rpc_method_handler(abort))
    handler = grpc.method_handlers_generic_handler("arrow.flight.protocol.FlightService", methods)
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads, handlers=[handler])
        client = flightsrv.client.QueryClient(f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        server.start()
        for call in (lambda: client.query("SELECT 1"), lambda: client.ingest("processes", pa.table({"a": [1]}))):
            with pytest.raises(flightsrv.client.FlightsrvError) as caught:
                call()
            assert type(caught.value) is expected
            assert str(caught.value) == message
        client.close()
        server.stop(None)


def test_connecting_where_nobody_listens_says_so():
    """The message names the address."""
    with serving() as server:
        url = server.url
    with pytest.raises(Unavailable, match=f"no server answers at {url}: .*Connection refused"):
        flightsrv.client.connect(url)


@pytest.mark.parametrize("url", ["", "127.0.0.1", "ftp://127.0.0.1:1", "http://127.0.0.1:8080"])
def test_an_address_that_is_none_is_refused(url):
    """The caller can put it right."""
    with pytest.raises(InvalidRequest, match=r"begins with grpc:// or grpc\+tls://, given: "):
        flightsrv.client.connect(url)


def test_an_address_without_a_host_is_refused():
    """In whatever words."""
    with pytest.raises(flightsrv.client.FlightsrvError):
        flightsrv.client.connect("grpc://")


def test_a_connection_serves_several_callers():
    """Each with a header of its own; it ends with the one that was connected."""
    with serving() as server:
        with flightsrv.client.connect(server.url, token="secret") as client:
            guest = client.for_caller("Basic Z3Vlc3Q6")
            guest.query("SELECT 1")
            client.query("SELECT 1")
        assert [headers["authorization"] for headers in server.headers[1:]] == [
            *[["Basic Z3Vlc3Q6"]] * 2,
            *[["Bearer secret"]] * 2,
        ]
        with pytest.raises(flightsrv.client.FlightsrvError):
            guest.query("SELECT 1")


def test_a_token_is_sent_with_every_call():
    """As a bearer token."""
    with serving() as server, flightsrv.client.connect(server.url, token="secret") as client:
        client.query("SELECT 1")
    assert [headers["authorization"] for headers in server.headers] == [["Bearer secret"]] * 3
