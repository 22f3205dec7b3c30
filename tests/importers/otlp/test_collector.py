"""An OpenTelemetry collector forwards what it is sent while the server is killed: all of it is there, once."""

import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from tests.faults import server_process
from tests.faults.server_process import ServerProcess
from tests.flightsql.interop.packages import go_program
from tests.importers.otlp.sent import LOGS, METRICS, START_NS, TRACES, call, line, logs_of, new_service, resource
from tests.importers.otlp.test_spans import span, spans_of
from tests.support.ports import free_ports

SOURCES = Path(__file__).parent / "programs" / "otlp_collector"
NB_REQUESTS = 90
"""Of each kind of telemetry, with `NB_OF_REQUEST` of it each."""
NB_OF_REQUEST = 7
KILLED_AT = (30, 60)
"""Before which of the requests the server is killed."""
NB_REQUESTS_AWAY = 10
"""How many more come until it is started again."""

CONFIGURATION = """
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{port}"}}}}}}
processors:
  batch: {{send_batch_size: 20, timeout: 20ms}}
exporters:
  {exporter}:
    endpoint: {endpoint}
    tls: {{insecure: true}}
    timeout: 30s
    sending_queue: {{queue_size: 10000}}
    retry_on_failure: {{initial_interval: 50ms, max_interval: 500ms, max_elapsed_time: 0s}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
    logs: {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
    metrics: {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
"""


@contextmanager
def running_collector(program: Path, folder: Path, **settings: Any) -> Iterator[int]:
    """Its port, when it listens."""
    (port,) = free_ports(1)
    configuration, log = folder / "collector.yaml", folder / "collector.log"
    configuration.write_text(CONFIGURATION.format(port=port, **settings), encoding="utf-8")
    with log.open("wb") as output, subprocess.Popen([program, configuration], stdout=output, stderr=output) as process:
        try:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield port
        finally:
            process.terminate()


def numbers_of(request: int) -> range:
    return range(request * NB_OF_REQUEST, (request + 1) * NB_OF_REQUEST)


def send(port: int, service: str, request: int) -> None:
    """One request of each kind, whose spans, lines and values have numbers that no other has."""
    numbers = numbers_of(request)
    call(port, TRACES, spans_of(service, *(span(f"span {i}", i, i + 5, i + 1) for i in numbers)))
    call(port, LOGS, logs_of(service, *(line(f"line {i}", i) for i in numbers)).SerializeToString())
    points = [pb.NumberDataPoint(time_unix_nano=START_NS + i, as_int=i) for i in numbers]
    metric = pb.Metric(name="number", gauge=pb.Gauge(data_points=points))
    metrics = pb.ResourceMetrics(resource=resource(service), scope_metrics=[pb.ScopeMetrics(metrics=[metric])])
    call(port, METRICS, ExportMetricsServiceRequest(resource_metrics=[metrics]).SerializeToString())


def found_in(server: ServerProcess, service: str) -> dict[str, Counter[object]]:
    """What the lake has of a service, by kind."""
    ids = server.query(f"SELECT process_id FROM processes WHERE exe = '{service}'").column(0).to_pylist()
    if not ids:
        return {}
    (process_id,) = ids
    questions = {
        "spans": f"SELECT name FROM process_spans('{process_id}', 'async')",
        "lines": f"SELECT msg FROM view_instance('log_entries', '{process_id}')",
        "values": f"SELECT value FROM view_instance('measures', '{process_id}')",
    }
    return {kind: Counter(server.query(sql).column(0).to_pylist()) for kind, sql in questions.items()}


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["otlp_grpc", "otlp_http"])
def test_what_a_collector_forwards_is_there_once(exporter: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Spans, lines and values; it sends on when the server is back, and sends again what was not acknowledged."""
    program = go_program(Path(request.config.cache.mkdir("otlp-senders")), SOURCES)
    flight_port, grpc_port, http_port = free_ports(3)
    options = ("--otlp-port", str(grpc_port), "--otlp-http-port", str(http_port))
    log, service = tmp_path / "log", new_service()

    def start() -> ServerProcess:
        with patch.object(server_process, "free_port", return_value=flight_port):
            return ServerProcess(str(tmp_path / "lake"), None, log, options)

    numbers = range(NB_REQUESTS * NB_OF_REQUEST)
    expected: dict[str, Counter[object]] = {
        "spans": Counter(f"span {i}" for i in numbers),
        "lines": Counter(f"line {i}" for i in numbers),
        "values": Counter(float(i) for i in numbers),
    }
    endpoint = f"127.0.0.1:{grpc_port}" if exporter == "otlp_grpc" else f"http://127.0.0.1:{http_port}"
    server = start()
    try:
        with running_collector(program, tmp_path, exporter=exporter, endpoint=endpoint) as port:
            for number in range(NB_REQUESTS):
                if number in KILLED_AT:
                    while not found_in(server, service):
                        time.sleep(0.05)
                    server.kill()
                send(port, service, number)
                if number - NB_REQUESTS_AWAY in KILLED_AT:
                    server = start()
            while any(not set(found_in(server, service).get(kind, ())) >= set(of) for kind, of in expected.items()):
                time.sleep(0.1)
        assert found_in(server, service) == expected
        assert "Exporting failed. Will retry" in (tmp_path / "collector.log").read_text(encoding="utf-8")
    finally:
        server.stop()
