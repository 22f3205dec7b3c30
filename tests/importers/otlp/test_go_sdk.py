"""The OpenTelemetry SDK of Go, whose spans are of no thread: they are on lanes, under their parents."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from flightsrv.client import QueryClient
from tests.flightsql.interop.packages import go_program
from tests.importers.otlp.conftest import Receiver
from tests.importers.otlp.sent import new_service, process_id_of
from tests.importers.otlp.test_logs_and_metrics import trace_of

SOURCES = Path(__file__).parent / "programs" / "otlp_go"
NB_REQUESTS, NB_QUERIES = 8, 3


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest) -> Path:
    return go_program(Path(request.config.cache.mkdir("otlp-senders")), SOURCES)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_requests_of_goroutines(protocol: str, program: Path, receiver: Receiver, client: QueryClient) -> None:
    """Spans, typed attributes, events, an error, and a counter."""
    service = new_service()
    url = f"http://127.0.0.1:{receiver.grpc_ports[0]}" if protocol == "grpc" else receiver.gateway.url
    settings = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "120000",
        "OTEL_BSP_EXPORT_TIMEOUT": "120000",
    }
    subprocess.run([str(program), protocol, url], env={**os.environ, **settings}, check=True)
    process_id = process_id_of(client, service)
    rows = client.query("SELECT * FROM process_spans($1, 'async')", [process_id]).to_pylist()
    requests = {row["id"]: dict(row["properties"]) for row in rows if row["name"] == "request"}
    assert sorted(noted["number"] for noted in requests.values()) == [str(number) for number in range(NB_REQUESTS)]
    assert Counter(row["parent"] for row in rows if row["name"] == "query") == dict.fromkeys(requests, NB_QUERIES)
    assert [noted["number"] for noted in requests.values() if noted.get("error") == "true"] == ["3"]
    lines = client.query(f"SELECT msg, level FROM view_instance('log_entries', '{process_id}')").to_pylist()
    assert Counter((line["msg"], line["level"]) for line in lines) == {
        ("sent", None): NB_REQUESTS * NB_QUERIES,
        ("exception: *errors.errorString: no good", None): 1,
        ("it failed", "error"): 1,
    }
    values = client.query(f"SELECT name, value FROM view_instance('measures', '{process_id}')").to_pylist()
    assert {"name": "requests", "value": float(NB_REQUESTS)} in values

    trace = trace_of(client, process_id)
    assert trace.thread_tracks == []
    slices = [each for lane in trace.lanes for each in lane.slices]
    assert Counter((each.name, each.depth) for each in slices) == {
        ("request", 0): NB_REQUESTS,
        ("query", 1): NB_REQUESTS * NB_QUERIES,
    }
    assert {each.annotations["even"] for each in slices if each.name == "request"} == {True, False}
