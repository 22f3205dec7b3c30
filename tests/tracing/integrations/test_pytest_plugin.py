"""The plugin, in a pytest of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.client import connect
from tests.tracing.servers import TracingServer, tracing_server

TESTS = """
import os
import pytest
from flightsrv import tracing

@pytest.fixture
def number():
    return int(os.environ.get("FLIGHTSRV_PROCESS_ID", "0")[:1] != "")

def test_first(number):
    with tracing.span("work"):
        assert number == 1

def test_second():
    with open("process_id", "w") as file:
        file.write(os.environ["FLIGHTSRV_PROCESS_ID"])
    raise ValueError
"""
SPANS = [
    (0, "test_it.py::test_first"),
    (1, "setup"),
    (2, "fixture number"),
    (1, "call"),
    (2, "work"),
    (1, "teardown"),
    (0, "test_it.py::test_second"),
    (1, "setup"),
    (1, "call"),
    (1, "teardown"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    with tracing_server(str(tmp_path_factory.mktemp("pytest") / "lake")) as running:
        yield running


def run_pytest(
    folder: Path, before: list[str], *options: str, tests: str = TESTS
) -> "subprocess.CompletedProcess[str]":
    (folder / "test_it.py").write_text(tests)
    # By its module, whether or not the installation knows it by its name.
    plugin = ["-p", "no:flightsrv", "-p", "flightsrv.pytest_plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, *before, "-m", "pytest", *plugin, *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("is_run", [False, True])
def test_tests_are_spans(is_run: bool, server: TracingServer, tmp_path: Path) -> None:
    """With what happens in them, by an option or by `flightsrv run`; failures are as they are without."""
    if is_run:
        done = run_pytest(tmp_path, ["-m", "flightsrv", "run", "--to", server.http_url, "--modules", "none"])
    else:
        done = run_pytest(tmp_path, [], "--flightsrv-trace", server.http_url)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    process_id = (tmp_path / "process_id").read_text()
    with connect(server.url) as client:
        sql = "SELECT depth, name FROM process_spans($1, 'thread') ORDER BY begin, depth"
        rows = client.query(sql, [process_id]).to_pylist()
    assert [(row["depth"], row["name"]) for row in rows] == SPANS


def test_a_url_that_is_none_is_told(tmp_path: Path) -> None:
    """As wrong usage."""
    done = run_pytest(tmp_path, [], "--flightsrv-trace", "tests.pftrace")
    assert done.returncode == 4
    assert "--flightsrv-trace: url 'tests.pftrace': expected http://HOST:PORT" in done.stderr


def test_tests_that_are_not_recorded_load_nothing(tmp_path: Path) -> None:
    """Though pytest finds the plugin wherever the package is installed."""
    tests = """
import sys

def test_modules():
    assert [name for name in sys.modules if name.startswith("flightsrv.")] == ["flightsrv.pytest_plugin"]
"""
    done = run_pytest(tmp_path, [], tests=tests)
    assert done.returncode == 0, done.stdout + done.stderr
