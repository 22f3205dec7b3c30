"""The OpenTelemetry Java agent on a program of fifty threads that knows nothing of it: what it did is there."""

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from flightsrv.client import QueryClient
from tests.flightsql.interop.packages import maven_jar
from tests.importers.otlp.conftest import Receiver
from tests.importers.otlp.sent import new_service, process_id_of
from tests.importers.otlp.test_logs_and_metrics import trace_of
from tests.support.trace_processor import TraceProcessor

AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.10.0"
PROGRAM = Path(__file__).parent / "programs" / "Shop.java"
NB_THREADS = 50
PROTOCOLS = ["grpc", "http/protobuf"][: int(os.environ.get("TEST_EFFORT", "1"))]
"""The agent takes long to start: TEST_EFFORT=2 has it send by both."""

_NB_SPANS = "SELECT count(*) AS spans FROM spans('async') WHERE exe = $1 AND name LIKE 'Shop.%'"


@pytest.fixture(scope="module")
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The program with its agent."""
    agent = maven_jar(Path(request.config.cache.mkdir("otlp-senders")), AGENT)
    folder = tmp_path_factory.mktemp("shop")
    subprocess.run(["javac", "-d", str(folder), str(PROGRAM)], check=True)
    return ["java", f"-javaagent:{agent}", "-cp", str(folder), "Shop"]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_program_of_fifty_threads(
    protocol: str, command: list[str], receiver: Receiver, client: QueryClient, trace_processor: TraceProcessor
) -> None:
    """Calls on the tracks of their threads as often as the program counted, the exception, the log,
    the counters of the virtual machine; and Perfetto's own trace processor reads the trace."""
    service = new_service()
    url = f"http://127.0.0.1:{receiver.grpc_ports[1]}" if protocol == "grpc" else receiver.exports.url
    settings = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "120000",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_INSTRUMENTATION_METHODS_INCLUDE": "Shop[price,discount,ask]",
    }
    with subprocess.Popen(
        command, env={**os.environ, **settings}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        lines = iter(program.stdout.readline, "\n")
        ledger = Counter({(thread, f"Shop.{what}"): int(n) for thread, what, n in map(str.split, lines)})
        # The agent does not wait long for its exporter when the program ends.
        while client.query(_NB_SPANS, [service]).to_pylist() != [{"spans": ledger.total()}]:
            assert program.poll() is None
            time.sleep(0.2)
        process_id = process_id_of(client, service)
        for view_set, nb_rows, condition in (
            ("log_entries", 2, "target = 'shop'"),
            ("measures", 1, "name LIKE 'jvm.%' OR name LIKE 'http.client.%'"),
        ):
            sql = f"SELECT * FROM view_instance('{view_set}', '{process_id}') WHERE {condition}"
            while client.query(sql).num_rows < nb_rows:
                time.sleep(0.2)
        program.stdin.close()
    assert len({thread for thread, _ in ledger}) == NB_THREADS

    rows = client.query("SELECT * FROM process_spans($1, 'async')", [process_id]).to_pylist()
    ours = [row for row in rows if row["name"].startswith("Shop.")]
    assert Counter((row["thread_name"], row["name"]) for row in ours) == ledger
    names = {row["id"]: row["name"] for row in rows}
    assert {names[row["parent"]] for row in ours if row["name"] == "Shop.discount"} == {"Shop.price"}
    failed = [row for row in ours if dict(row["properties"]).get("error") == "true"]
    assert sorted(row["name"] for row in failed) == ["Shop.discount", "Shop.price"]

    trace = trace_of(client, process_id)
    shown = Counter(
        (track.thread_name, each.name)
        for track in trace.thread_tracks
        for each in track.slices
        if each.name.startswith("Shop.")
    )
    assert shown == ledger
    depths = {each.name: each.depth for track in trace.thread_tracks for each in track.slices}
    assert (depths["Shop.price"], depths["Shop.discount"], depths["Shop.ask"]) == (0, 1, 0)
    marks = [(track.thread_name, mark) for track in trace.tracks.values() for mark in track.instants]
    told = {mark.name: thread for thread, mark in marks}
    assert told["exception: java.lang.IllegalArgumentException: no discount on 7"] == failed[0]["thread_name"]
    assert {"failed: no discount on 7", "all clients are done"} <= told.keys()
    counters = {track.name for track in trace.tracks.values() if track.values}
    assert any(name.startswith(("jvm.", "http.client.")) for name in counters)

    chunks = client.query(
        "SELECT chunk_data FROM perfetto_trace_chunks($1, 'all', TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01')",
        [process_id],
    )
    loaded = trace_processor.load(b"".join(chunks["chunk_data"].to_pylist()))
    assert loaded.errors() == []
    processed = Counter((s.thread_name, s.name) for s in loaded.slices() if (s.name or "").startswith("Shop."))
    assert {key: count for key, count in processed.items() if key in ledger} == dict(ledger)
