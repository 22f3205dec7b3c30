"""Options of the server that its other tests leave alone."""

import re
import subprocess
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import FLIGHTSRV
from tests.importers.otlp.sent import LOGS, call, line, logs_of, new_service, post


def test_metrics_are_served_where_the_environment_says(tmp_path: Path) -> None:
    """On a free port for 0, which the log tells; standard output has its one line."""
    command = [FLIGHTSRV, "serve", "--lake", str(tmp_path / "lake"), "--port", "0"]
    log = tmp_path / "log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            command, env={"FLIGHTSRV_METRICS_PORT": "0"}, stdout=subprocess.PIPE, stderr=sink, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on grpc://127.0.0.1:")
        [url] = re.findall(r"metrics on (\S+)", log.read_text())
        with urllib.request.urlopen(url, timeout=30) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        process.terminate()
        assert process.stdout.read() == ""
        assert process.wait(60) == 0
    assert "flightsrv_trace_seconds" in {family.name for family in families}


def test_otlp_is_taken_on_ports_of_its_own(tmp_path: Path) -> None:
    """On free ones for 0, which the log tells."""
    options = ["--lake", str(tmp_path / "lake"), "--port", "0", "--otlp-port", "0", "--otlp-http-port", "0"]
    log = tmp_path / "log"
    request = logs_of(new_service(), line("hello")).SerializeToString()
    with (
        log.open("wb") as sink,
        subprocess.Popen([FLIGHTSRV, "serve", *options], stdout=subprocess.PIPE, stderr=sink, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on grpc://127.0.0.1:")
        [port] = re.findall(r"OTLP/gRPC on port (\d+)", log.read_text())
        [url] = re.findall(r"OTLP/HTTP on (\S+)", log.read_text())
        assert call(int(port), LOGS, request) == b""
        assert post(url, "/v1/logs", request).status == 200
        assert post(url, "/api/uploads", request).status == 404
        process.terminate()
        assert process.wait(60) == 0
