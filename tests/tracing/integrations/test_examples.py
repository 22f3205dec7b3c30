"""The examples, as somebody runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from flightsrv.client import connect
from tests.support.ports import free_port
from tests.tracing.servers import TracingServer, tracing_server

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TracingServer]:
    with tracing_server(str(tmp_path / "lake")) as running:
        yield running


@contextmanager
def running_site(server: TracingServer, *command: str) -> Iterator[str]:
    """The address of a web application, which Ctrl-C ends. `PORT` in its command and its environment is its port."""
    port = free_port()
    environment = {**os.environ, "FLIGHTSRV_TRACE_TO": server.http_url, "PORT": str(port)}
    python = [sys.executable, *(word.replace("PORT", str(port)) for word in command)]
    with subprocess.Popen(
        python, cwd=EXAMPLES, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
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


def run(server: TracingServer, *command: str, **more: str) -> str:
    environment = {**os.environ, "FLIGHTSRV_TRACE_TO": server.http_url, **more}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_are_traced(server: TracingServer, tmp_path: Path) -> None:
    """Both applications, asked by both clients; a database; tests."""
    with running_site(server, "web_asgi.py") as asgi, running_site(server, "web_wsgi.py") as wsgi:
        urls = [f"{site}/hello/you" for site in (asgi, wsgi)]
        assert run(server, str(EXAMPLES / "http_clients.py"), *urls) == '"Hello you"\nHello you\n'
    assert run(server, str(EXAMPLES / "database.py")) == "13\n"
    plugin = ["-p", "no:flightsrv", "-p", "flightsrv.pytest_plugin", "-p", "no:cacheprovider"]
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


@pytest.mark.slow
def test_a_django_site_is_traced(server: TracingServer) -> None:
    """By WSGI, in workers that were forked after the application was made, and by ASGI, whose view runs in a thread."""
    gunicorn = ("-m", "gunicorn", "--workers", "2", "--preload", "--bind", "127.0.0.1:PORT", "web_django:wsgi")
    uvicorn = ("-m", "uvicorn", "--port", "PORT", "web_django:asgi")
    for command in (gunicorn, uvicorn):
        with running_site(server, *command) as url:
            assert [requests.get(f"{url}/hello/you", timeout=60).text for _ in range(3)] == ["Hello you"] * 3
    with connect(server.url) as client:
        rows = client.query(
            "SELECT process_id, parent_process_id IS NOT NULL AS is_child FROM processes ORDER BY start_time"
        ).to_pylist()
        counts = [
            Counter(client.query("SELECT name FROM process_spans($1, 'both')", [row["process_id"]])["name"].to_pylist())
            for row in rows
        ]
        links = client.query("SELECT name FROM view_instance('links', $1)", [rows[-1]["process_id"]])[
            "name"
        ].to_pylist()
    master, *workers, single = rows
    assert (master["is_child"], single["is_child"]) == (False, False)
    assert all(worker["is_child"] for worker in workers)
    in_workers = sum(counts[1:-1], Counter())
    assert counts[0] == Counter()
    for found in (in_workers, counts[-1]):
        assert (found["GET /hello/you"], found["think"]) == (3, 3)
    assert links.count("hello") == counts[-1]["hello"] == 3


@pytest.mark.slow
def test_tasks_of_celery_are_traced(server: TracingServer, tmp_path: Path) -> None:
    """In the processes that a worker forks, as part of the requests that they were sent in."""
    environment = {"FLIGHTSRV_TRACE_TO": server.http_url, "MESSAGES": str(tmp_path)}
    command = ["-m", "celery", "--app", "tasks_celery", "worker", "--concurrency", "2"]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=EXAMPLES,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as worker:
        try:
            assert run(server, str(EXAMPLES / "tasks_celery.py"), MESSAGES=str(tmp_path)) == "[3, 5, 5]\n"
        finally:
            worker.send_signal(signal.SIGINT)
    with connect(server.url) as client:
        rows = client.query(
            "SELECT called.name, called.properties['state'] AS state, p.parent_process_id IS NOT NULL AS is_child "
            "FROM spans('both') caller JOIN spans('both') called "
            "ON called.properties['parent_span_id'] = caller.properties['span_id'] "
            "JOIN processes p ON p.process_id = called.process_id"
        ).to_pylist()
        names = client.query("SELECT name FROM spans('both')")["name"].to_pylist()
    assert [tuple(row.values()) for row in rows] == [("tasks_celery.length", "SUCCESS", True)] * 3
    assert Counter(names) == Counter({"ask": 1, "send tasks_celery.length": 3, "tasks_celery.length": 3, "think": 3})
