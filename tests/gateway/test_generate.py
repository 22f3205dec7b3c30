"""`POST /api/perfetto/{process_id}/generate`: progress, then the trace, and never half of it as if it were whole."""

import http.client
import json
from typing import Any

import pyarrow as pa
import pytest

from flightsrv.client import QueryClient
from flightsrv.gateway import responses
from flightsrv.gateway.lifecycle import RunningGateway
from tests.client.fake_server import Chunk, Failure, Message, Wait
from tests.gateway.conftest import Scripted
from tests.gateway.http import ask, asked

PATH = "/api/perfetto/some-process/generate"


def progress(message: str, threads_done: int = 0) -> Message:
    return Message(
        {
            "type": "progress",
            "message": message,
            "threads_done": threads_done,
            "threads_total": 2,
            "nb_spans": 10 * threads_done,
            "size_bytes": 0,
        }
    )


def split(body: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The lines up to `binary_start`, and the bytes after them."""
    head, found, trace = body.partition(b'{"type":"binary_start"}\n')
    lines = [json.loads(line) for line in (head + found).splitlines()]
    return lines, trace


def framed(body: bytes) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The lines of a framed answer, and the pieces of the trace among them."""
    lines, pieces = [], []
    while body:
        head, _, body = body.partition(b"\n")
        lines.append(json.loads(head))
        if lines[-1]["type"] == "piece":
            size_bytes = lines[-1]["size_bytes"]
            assert len(body) > size_bytes
            pieces.append(body[:size_bytes])
            body = body[size_bytes:]
    return lines, pieces


@pytest.mark.parametrize(
    ("wanted", "span_types"),
    [
        ({}, "both"),
        ({"time_range": None, "include_async_spans": False, "include_thread_spans": True}, "thread"),
        ({"include_thread_spans": False}, "async"),
    ],
)
def test_the_bytes_are_those_of_the_flight_sql_client(
    gateway: RunningGateway, client: QueryClient, small: str, wanted: dict[str, object], span_types: str
) -> None:
    """Of the whole life without a time range, with the spans that were chosen."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", wanted)
    lines, trace = split(answer.body)
    assert answer.status == 200
    assert lines[-1] == {"type": "binary_start"}
    assert {line["type"] for line in lines[:-1]} == {"progress"}
    assert trace == client.trace(small, span_types=span_types)


def test_a_time_range_is_text_or_nanoseconds(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """Both mean the same, to the nanosecond."""
    texts = {"begin": "2026-01-01T10:00:00.5Z", "end": "2026-01-01T11:00:00.650000001+01:00"}
    numbers = {"begin": 1_767_261_600_500_000_000, "end": 1_767_261_600_650_000_001}
    expected = client.trace(small, **texts)
    assert expected != client.trace(small)
    for time_range in (texts, numbers):
        answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", {"time_range": time_range})
        assert split(answer.body)[1] == expected


def test_progress_is_told_before_the_bytes(scripted: Scripted) -> None:
    """A line when there is news, as long as there is only the chunk that names process and threads."""
    _, gateway = scripted(
        progress("first"), Chunk(0, b"names"), progress("first"), progress("second", 1), Chunk(1, b"a"), Chunk(2, b"b")
    )
    lines, trace = split(ask(gateway.url + PATH, "POST", {}).body)
    assert [(line["type"], line.get("message"), line.get("threads_done")) for line in lines] == [
        ("progress", "first", 0),
        ("progress", "second", 1),
        ("binary_start", None, None),
    ]
    assert trace == b"namesab"


@pytest.mark.parametrize("chunks", [(), (Chunk(0, b"names"),)])
def test_a_trace_of_one_chunk_or_none(scripted: Scripted, chunks: tuple[Chunk, ...]) -> None:
    """It comes whole, when it is known that there is no more."""
    _, gateway = scripted(*chunks)
    assert split(ask(gateway.url + PATH, "POST", {}).body) == (
        [{"type": "binary_start"}],
        b"".join(chunk.data for chunk in chunks),
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (pa.ArrowKeyError("no such process"), 404),
        (pa.ArrowInvalid("no such time"), 400),
        (pa.flight.FlightUnavailableError("no such server"), 503),
        (pa.flight.FlightInternalError("no such luck"), 502),
    ],
)
def test_a_failure_before_anything_is_a_status(scripted: Scripted, error: Exception, status: int) -> None:
    """And a line that says it in words."""
    _, gateway = scripted(Failure(error))
    answer = ask(gateway.url + PATH, "POST", {})
    assert answer.status == status
    assert answer.json["type"] == "error"
    assert "no such" in answer.json["message"]


@pytest.mark.parametrize("before", [(), (Chunk(0, b"names"),)])
def test_a_failure_after_progress_is_a_line(scripted: Scripted, before: tuple[Chunk, ...]) -> None:
    """The last one, in an answer that is complete and has no trace."""
    _, gateway = scripted(*before, progress("first"), Failure(pa.ArrowInvalid("a corrupt block")))
    answer = ask(gateway.url + PATH, "POST", {})
    lines, trace = split(answer.body)
    assert answer.status == 200
    assert trace == b""
    assert [line["type"] for line in lines] == ["progress", "error"]
    assert lines[-1]["message"] == "a corrupt block"


def test_a_framed_answer_has_lines_among_the_pieces(scripted: Scripted) -> None:
    """Progress to the end, and in the last line what the trace is missing."""
    failed = {"type": "thread_failed", "stream_id": "b", "message": "a corrupt block"}
    lost = {"type": "events_lost", "stream_id": "a", "nb_events": 7}
    dropped = {"type": "spans_dropped", "stream_id": "a", "nb_spans": 9}
    _, gateway = scripted(
        progress("first"),
        Chunk(0, b"names"),
        Chunk(1, b'{"type":"complete"}\n'),
        progress("second", 1),
        Message(failed),
        Message(lost),
        Message(dropped),
        Chunk(2, b"end"),
    )
    lines, pieces = framed(ask(gateway.url + PATH, "POST", {"framed": True}).body)
    assert [line["type"] for line in lines] == ["progress", "piece", "piece", "progress", "piece", "complete"]
    assert pieces == [b"names", b'{"type":"complete"}\n', b"end"]
    assert lines[-1] == {
        "type": "complete",
        "size_bytes": sum(map(len, pieces)),
        "failed_threads": [{"stream_id": "b", "message": "a corrupt block"}],
        "lost_events": 7,
        "dropped_spans": 9,
    }


def test_without_a_body_it_is_the_whole_trace(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """Nothing in it must be said."""
    for body in (None, {}):
        answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", body)
        assert split(answer.body)[1] == client.trace(small)


def test_the_pieces_of_a_framed_answer_are_the_trace(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """That of the Flight SQL client."""
    lines, pieces = framed(ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", {"framed": True}).body)
    assert b"".join(pieces) == client.trace(small)
    assert (lines[-1]["type"], lines[-1]["failed_threads"], lines[-1]["lost_events"]) == ("complete", [], 0)


def test_progress_is_that_of_all_processes(
    gateway: RunningGateway, client: QueryClient, small: str, conductor: str
) -> None:
    """In one trace, whose last news are of all their threads."""
    url = f"{gateway.url}/api/perfetto/{small},{conductor}/generate"
    lines, pieces = framed(ask(url, "POST", {"framed": True}).body)
    assert b"".join(pieces) == client.trace([small, conductor])
    [last] = [line for line in lines if line["type"] == "progress"][-1:]
    assert (last["threads_done"], last["threads_total"]) == (5, 5)


def test_a_failure_among_the_pieces_is_the_last_line(scripted: Scripted) -> None:
    """In words, in place of the one that says that the trace is whole."""
    _, gateway = scripted(Chunk(0, b"names"), Chunk(1, b"half"), Failure(pa.ArrowInvalid("a corrupt block")))
    lines, _ = framed(ask(gateway.url + PATH, "POST", {"framed": True}).body)
    assert {line["type"] for line in lines[:-1]} <= {"piece"}
    assert lines[-1] == {"type": "error", "message": "a corrupt block"}


def test_a_framed_answer_that_was_not_begun_has_a_status(scripted: Scripted) -> None:
    """As any other."""
    _, gateway = scripted(Failure(pa.ArrowKeyError("no such process")))
    answer = ask(gateway.url + PATH, "POST", {"framed": True})
    assert (answer.status, answer.json["type"]) == (404, "error")


@pytest.mark.parametrize(
    ("script", "framing", "outcome"),
    [
        ((Chunk(0, b"names"),), False, "complete"),
        ((progress("first"), Failure(pa.ArrowInvalid("no"))), False, "failed"),
        ((Chunk(0, b"names"), Failure(pa.ArrowInvalid("no"))), True, "failed"),
        ((Failure(pa.ArrowInvalid("no")),), True, "failed"),
    ],
)
def test_metrics_tell_how_traces_end(scripted: Scripted, script: tuple[Any, ...], framing: bool, outcome: str) -> None:
    """Also where the answer is complete, and the trace is not."""
    _, gateway = scripted(*script)
    ask(gateway.url + PATH, "POST", {"framed": framing})
    counted = ask(f"{gateway.url}/metrics").body.decode()
    assert [line for line in counted.splitlines() if line.startswith("flightsrv_http_traces_total{")] == [
        f'flightsrv_http_traces_total{{outcome="{outcome}"}} 1.0'
    ]


def test_a_failure_among_the_bytes_breaks_the_answer(scripted: Scripted) -> None:
    """No client can take what came for the whole."""
    _, gateway = scripted(Chunk(0, b"names"), Chunk(1, b"half"), Failure(pa.ArrowInvalid("a corrupt block")))
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(gateway.url + PATH, "POST", {})
    assert split(broken.value.partial)[1] in (b"", b"names", b"nameshalf")


@pytest.mark.parametrize("before", [(progress("first"),), (Chunk(0, b"names"), Chunk(1, b"half"))])
def test_leaving_stops_the_work_of_the_server(scripted: Scripted, before: tuple[Chunk | Message, ...]) -> None:
    """While progress is told, and among the bytes."""
    fake, gateway = scripted(*before, Wait())
    with asked(gateway.url + PATH, "POST", {}) as answer:
        assert answer.read(1) == b"{"
        assert fake.waiting.wait(30)
        assert not fake.abandoned.is_set()
    assert fake.abandoned.wait(30)


def test_leaving_before_anything_has_come_stops_the_work(scripted: Scripted) -> None:
    """Not even a status was sent."""
    fake, gateway = scripted(Wait())
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
    connection.request("POST", PATH, "{}", {"Content-Type": "application/json"})
    assert fake.waiting.wait(30)
    connection.close()
    assert fake.abandoned.wait(30)


def test_no_more_traces_at_once_than_allowed(scripted: Scripted) -> None:
    """One more is refused for the moment; when another one has ended, there is room."""
    fake, gateway = scripted(progress("first"), Wait(), max_traces=1)
    with asked(gateway.url + PATH, "POST", {}) as first:
        assert first.read(1) == b"{"
        refused = ask(gateway.url + PATH, "POST", {})
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert 'flightsrv_http_traces_total{outcome="refused"} 1.0' in ask(gateway.url + "/metrics").body.decode()
    assert fake.abandoned.wait(30)
    status = 503
    while status == 503:  # the thread that read for the first one is about to end
        with asked(gateway.url + PATH, "POST", {}) as again:
            status = again.status
    assert status == 200


def test_a_client_that_takes_nothing_gives_up_its_place(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for it."""
    monkeypatch.setattr(responses, "MAX_STALL_S", 0.2)
    chunks = (Chunk(number, bytes(1 << 20)) for number in range(200))
    _, gateway = scripted(*chunks, Wait(), max_traces=1)
    with asked(gateway.url + PATH, "POST", {}) as stalled:
        assert stalled.read(1) == b"{"
        status = 503
        while status == 503:  # the thread that read for the first one is about to end
            with asked(gateway.url + PATH, "POST", {}) as again:
                status = again.status
        assert status == 200


def test_a_slow_client_slows_the_server_down(scripted: Scripted) -> None:
    """Nothing piles up in the gateway: the server cannot send what the client does not read."""
    fake, gateway = scripted(*(Chunk(number, bytes(1 << 20)) for number in range(200)), Wait())
    with asked(gateway.url + PATH, "POST", {}) as answer:
        assert answer.read(1) == b"{"
        assert not fake.waiting.wait(1.0)
        assert "flightsrv_http_traces_under_way 1.0" in ask(gateway.url + "/metrics").body.decode()
        assert len(answer.read(200 << 20)) == 200 << 20
        assert fake.waiting.wait(30)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"time_range": {"begin": "yesterday", "end": "2026-01-01T00:00:00Z"}}, "begin must be a time"),
        ({"time_range": {"begin": "-5 fortnights", "end": "now"}}, "begin must be a time"),
        (
            {"time_range": {"begin": 2, "end": 1}},
            "begin must not be after end, given: begin 1970-01-01T00:00:00.000000002Z",
        ),
        ({"time_range": {"begin": 1 << 63, "end": 1 << 64}}, "between 1677"),
        ({"include_async_spans": False, "include_thread_spans": False}, "both false"),
    ],
)
def test_what_has_no_meaning_is_refused(
    gateway: RunningGateway, small: str, body: dict[str, object], complaint: str
) -> None:
    """With what was wrong, and what came."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", body)
    assert answer.status == 400
    assert answer.json["type"] == "error"
    assert complaint in answer.json["message"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "body"),
        ({"time_range": {"begin": 1}}, "body.time_range.end: Field required"),
        ({"time_range": "today"}, "body.time_range"),
        ({"include_async_spans": "yes"}, "body.include_async_spans"),
        ({"include_fibers": True}, "body.include_fibers"),
    ],
)
def test_what_is_malformed_is_refused(gateway: RunningGateway, small: str, body: object, complaint: str) -> None:
    """The place is named."""
    answer = ask(f"{gateway.url}/api/perfetto/{small}/generate", "POST", body)
    assert answer.status == 422
    assert complaint in answer.json["message"]


def test_a_process_that_is_unknown_is_not_found(gateway: RunningGateway) -> None:
    """As an error line, with the status that says so."""
    answer = ask(f"{gateway.url}/api/perfetto/nobody/generate", "POST", {})
    assert (answer.status, answer.json) == (404, {"type": "error", "message": "process 'nobody' is unknown"})
