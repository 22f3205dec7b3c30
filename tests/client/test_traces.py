"""Traces as they arrive: order, progress, failures, files, cancelling."""

import os
import threading

import pytest
from pyarrow import flight

import flightsrv.client
from flightsrv.client import FailedThread, TraceProgress, TraceResult
from tests.client.fake_server import Chunk, Failure, Message, Wait, serving

HALVES = (Chunk(0, b"first "), Chunk(1, b"second"))


def test_a_trace_is_its_chunks_joined():
    """As bytes, as an iterator, and as a file."""
    with serving(*HALVES) as server, flightsrv.client.connect(server.url) as client:
        assert client.trace("p") == b"first second"
        with client.trace_chunks("p") as chunks:
            assert list(chunks) == [b"first ", b"second"]


def test_a_trace_file_holds_the_trace_and_says_what_came(tmp_path):
    """The result counts bytes and chunks; nothing else is left in the folder."""
    path = tmp_path / "a.pftrace"
    path.write_bytes(b"an older trace")
    with serving(*HALVES) as server, flightsrv.client.connect(server.url) as client:
        result = client.trace_to_file("p", path)
    assert result == TraceResult(size_bytes=12, chunks=2, failed_threads=(), lost_events=0)
    assert path.read_bytes() == b"first second"
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_appears_when_a_trace_breaks(tmp_path):
    """Half a trace looks like a whole one, so it must not have the name of one."""
    path = tmp_path / "a.pftrace"
    broken = Failure(flight.FlightInternalError("disk on fire"))
    with (
        serving(HALVES[0], broken) as server,
        flightsrv.client.connect(server.url) as client,
        pytest.raises(flightsrv.client.ServerFailed, match=r"^disk on fire$"),
    ):
        client.trace_to_file("p", path)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """Replacing the file at its path would turn a device into a plain file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    with serving(*HALVES) as server, flightsrv.client.connect(server.url) as client:
        client.trace_to_file("p", path)
    reader.join()
    assert read == [b"first second"]
    assert path.is_fifo()


def test_a_missing_chunk_is_an_error():
    """A trace without one of its chunks is not the trace."""
    with (
        serving(Chunk(0, b"a"), Chunk(2, b"c")) as server,
        flightsrv.client.connect(server.url) as client,
        pytest.raises(flightsrv.client.ServerFailed, match="chunk 1 of the trace is missing"),
    ):
        client.trace("p")


def working(threads_done: int, nb_spans: int) -> dict[str, object]:
    """What a server says while it makes a trace of two threads."""
    return {
        "type": "progress",
        "message": f"{threads_done} done",
        "threads_done": threads_done,
        "threads_total": 2,
        "nb_spans": nb_spans,
        "size_bytes": 1 << 20,
    }


def test_progress_tells_bytes_threads_and_failures():
    """The callback gets a new state for each chunk and for each message that says something."""
    script = (
        Message(working(0, 10)),
        Chunk(0, b"abc"),
        Message({"type": "thread_failed", "stream_id": "s1", "message": "block b1 is corrupt"}),
        Message({"type": "something newer"}),
        Message({"type": "events_lost", "stream_id": "s2", "nb_events": 7}),
        Message({"type": "spans_dropped", "stream_id": "s2", "nb_spans": 9}),
        Chunk(1, b"de"),
        Message(working(2, 30)),
    )
    seen: list[TraceProgress] = []
    with (
        serving(*script) as server,
        flightsrv.client.connect(server.url) as client,
        client.trace_chunks("p", progress=seen.append) as chunks,
    ):
        assert b"".join(chunks) == b"abcde"
    failed = (FailedThread("s1", "block b1 is corrupt"),)
    assert seen == [
        TraceProgress(0, 0, 0, 2, message="0 done", nb_spans=10),
        TraceProgress(3, 1, 0, 2, message="0 done", nb_spans=10),
        TraceProgress(3, 1, 0, 2, failed, message="0 done", nb_spans=10),
        TraceProgress(3, 1, 0, 2, failed, 7, message="0 done", nb_spans=10),
        TraceProgress(3, 1, 0, 2, failed, 7, message="0 done", nb_spans=10, dropped_spans=9),
        TraceProgress(5, 2, 0, 2, failed, 7, message="0 done", nb_spans=10, dropped_spans=9),
        TraceProgress(5, 2, 2, 2, failed, 7, message="2 done", nb_spans=30, dropped_spans=9),
    ]
    assert chunks.result == TraceResult(5, 2, failed, 7, 9, 30)


def test_the_statement_is_quoted_and_bounded():
    """Quotes in a process id stay text, and times go through exactly."""
    with serving(*HALVES) as server, flightsrv.client.connect(server.url) as client:
        client.trace("x' OR '1'='1", begin=1, end="2026-01-01T10:00:00.5+02:00", span_types="async")
        client.trace("p", strict=True)
    assert server.queries == [
        "SELECT chunk_id, chunk_data FROM perfetto_trace_chunks('x'' OR ''1''=''1', 'async', "
        "TIMESTAMP '1970-01-01T00:00:00.000000001Z', TIMESTAMP '2026-01-01T08:00:00.500000000Z')",
        "SELECT chunk_id, chunk_data FROM perfetto_trace_chunks('p', 'all', "
        "TIMESTAMP '1677-09-21T00:12:43.145224192Z', TIMESTAMP '2262-04-11T23:47:16.854775807Z')",
    ]
    asked = [headers["trace_strict"] for headers in server.headers if "trace_strict" in headers]
    assert asked == [["false"], ["false"], ["true"], ["true"]]


@pytest.mark.parametrize("leave", ["close", "cancel", "forget"])
def test_leaving_early_stops_the_server(leave):
    """The server learns that nobody reads any more, however the reader goes."""
    with serving(HALVES[0], Wait()) as server, flightsrv.client.connect(server.url) as client:
        chunks = client.trace_chunks("p")
        assert next(chunks) == b"first "
        if leave == "forget":
            del chunks
        else:
            getattr(chunks, "close" if leave == "close" else "cancel")()
        assert server.abandoned.wait(30)


def test_closing_the_client_ends_a_read_that_waits():
    """The thread that reads gets an error rather than to wait for ever."""
    errors: list[BaseException] = []

    def read() -> None:
        try:
            client.trace("p")
        except flightsrv.client.FlightsrvError as error:
            errors.append(error)

    with serving(HALVES[0], Wait()) as server:
        client = flightsrv.client.connect(server.url)
        reader = threading.Thread(target=read)
        reader.start()
        assert server.waiting.wait(30)
        client.close()
        reader.join(30)
        assert server.abandoned.wait(30)
    assert [type(error) for error in errors] == [flightsrv.client.Cancelled]


def test_an_interrupted_download_leaves_no_file(tmp_path):
    """Neither under its name nor under a temporary one."""
    seen: list[TraceProgress] = []

    def interrupt(progress: TraceProgress) -> None:
        seen.append(progress)
        raise KeyboardInterrupt

    with serving(HALVES[0], Wait()) as server, flightsrv.client.connect(server.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.trace_to_file("p", tmp_path / "a.pftrace", progress=interrupt)
        assert server.abandoned.wait(30)
    assert len(seen) == 1
    assert list(tmp_path.iterdir()) == []
