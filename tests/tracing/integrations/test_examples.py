"""The examples, as somebody runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flightsrv.client import connect
from tests.tracing.servers import TracingServer, tracing_server

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TracingServer]:
    with tracing_server(str(tmp_path / "lake")) as running:
        yield running


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def running_site(example: str, server: TracingServer) -> Iterator[str]:
    """The address of a web application, which Ctrl-C ends."""
    port = free_port()
    environment = {**os.environ, "FLIGHTSRV_TRACE_TO": server.http_url, "PORT": str(port)}
    command = [sys.executable, str(EXAMPLES / example)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)


def run(server: TracingServer, *command: str) -> str:
    environment = {**os.environ, "FLIGHTSRV_TRACE_TO": server.http_url}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_are_traced(server: TracingServer, tmp_path: Path) -> None:
    """Both applications, asked by both clients; a database; tests."""
    with running_site("web_asgi.py", server) as asgi, running_site("web_wsgi.py", server) as wsgi:
        urls = [f"{site}/hello/you" for site in (asgi, wsgi)]
        assert run(server, str(EXAMPLES / "http_clients.py"), *urls) == '"Hello you"\nHello you\n'
    assert run(server, str(EXAMPLES / "database.py")) == "13\n"
    plugin = ["-p", "no:flightsrv", "-p", "flightsrv.tracing.integrations.pytest_plugin", "-p", "no:cacheprovider"]
    options = [*plugin, f"--rootdir={tmp_path}", "--flightsrv-trace", server.http_url]
    run(server, "-m", "pytest", *options, str(EXAMPLES / "test_words.py"))
    with connect(server.url) as client:
        process_ids = client.query("SELECT process_id FROM processes ORDER BY start_time")["process_id"].to_pylist()
        found = [
            set(client.query("SELECT name FROM process_spans($1, 'both')", [process_id])["name"].to_pylist())
            for process_id in process_ids
        ]
    hosts = [site.removeprefix("http://") for site in (asgi, wsgi)]
    sites = {"GET /hello/you", "HEAD /hello/you", "think"}
    expected = [
        sites,
        sites | {"GET /hello/you, body", "HEAD /hello/you, body"},
        {f"{method} {host}" for method in ("GET", "HEAD") for host in hosts},
        {"CREATE TABLE words (word TEXT, times INTEGER)", "INSERT INTO words VALUES (?, ?)"}
        | {"SELECT sum(times) FROM words"},
        {"setup", "fixture words", "call", "count", "teardown"},
    ]
    for names, some in zip(found, expected, strict=True):
        assert some <= names
