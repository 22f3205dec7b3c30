"""Metrics as Prometheus scrapes them, and what the log says of one query."""

import logging
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pyarrow import flight

import flightsrv.client
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server, start
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_sql_pb2 import TicketStatementQuery
from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import block_batch, process_batch, stream_batch
from tests.model.telemetry import Process, cut
from tests.server.clients import AdbcClient, Client, PyarrowClient, Refused, call_options
from udtf.errors import InvalidArgument

LIFE = "TIMESTAMP '2000-01-01T00:00:00Z', TIMESTAMP '2100-01-01T00:00:00Z'"


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of its own, with metrics over HTTP."""
    with running_server(str(tmp_path / "lake"), settings=ServerSettings(metrics_port=0)) as server:
        yield server


@pytest.fixture(params=[PyarrowClient, AdbcClient])
def measured_client(request: pytest.FixtureRequest, measured: RunningServer) -> Client:
    client: Client = request.param(measured.url)
    return client


@pytest.fixture
def process(measured: RunningServer) -> Process:
    """Three threads of one block each."""
    process = examples.process(*(examples.thread(*calls(10), name=f"t{number}") for number in range(3)))
    client = PyarrowClient(measured.url)
    client.ingest("processes", process_batch(process))
    client.ingest("streams", stream_batch(process, process.streams))
    client.ingest("blocks", block_batch(block for stream in process.streams for block in cut(stream, [])))
    return process


def port_of(server: RunningServer) -> int:
    assert server.metrics_url is not None
    return int(server.metrics_url.split(":")[2].partition("/")[0])


def scrape(server: RunningServer) -> dict[tuple[str, ...], float]:
    """Value by name and label values, as Prometheus would read them."""
    assert server.metrics_url is not None
    with urllib.request.urlopen(server.metrics_url, timeout=30) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert all(family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    return {key(sample.name, sample.labels): sample.value for sample in samples}


def key(name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """A name and the values of its labels, in the order of their names."""
    return name, *(labels[label] for label in sorted(labels))


def trace_sql(process: Process) -> str:
    return f"SELECT chunk_id, chunk_data FROM perfetto_trace_chunks('{process.process_id}', 'both', {LIFE})"


def test_a_scrape_tells_what_was_asked(measured: RunningServer, process: Process, measured_client: Client) -> None:
    """Traces, threads, partitions, caches, the store, calls by outcome, errors by kind, rows and bytes."""
    rows = measured_client.query(trace_sql(process)).num_rows
    with pytest.raises(Refused, match="nope"):
        measured_client.query("SELECT nope FROM processes")
    told = scrape(measured)
    assert told["flightsrv_trace_seconds_count",] == 1
    assert told["flightsrv_trace_seconds_bucket", "+Inf"] == 1
    assert told["flightsrv_trace_seconds_sum",] > 0
    assert told["flightsrv_view_seconds_count", "thread_spans"] == 1
    assert told["flightsrv_partition_build_seconds_count", "thread_spans"] == 1
    assert told["flightsrv_store_read_seconds_count",] == 1  # the segment; what is made of it is used at once
    assert told["flightsrv_store_retries_total",] == 0
    assert told["flightsrv_cache_misses_total", "index"] >= 1
    assert told["flightsrv_calls_total", "query", "ok"] == 1
    assert told["flightsrv_calls_total", "query", "failed"] >= 1
    assert told["flightsrv_calls_total", "ingestion", "ok"] == 3
    assert told["flightsrv_errors_total", "InvalidArgument"] >= 1
    assert told["flightsrv_rows_total", "query"] == rows
    assert told["flightsrv_row_bytes_total", "query"] > 1000
    assert told["flightsrv_builds_under_way",] == 0
    assert told["process_resident_memory_bytes",] > 1 << 20


def test_the_table_says_the_same_as_a_scrape(
    measured: RunningServer, process: Process, measured_client: Client
) -> None:
    """Row by row, but for what changes with every call."""
    measured_client.query(trace_sql(process))
    table = measured_client.query("SELECT * FROM server_metrics()").to_pylist()
    rows = {key(row["name"], dict(row["labels"])): row["value"] for row in table}
    scraped = scrape(measured)
    stable = {
        name for name in rows if name[0].startswith(("flightsrv_trace", "flightsrv_thread", "flightsrv_partition"))
    }
    assert len(stable) > 30
    assert {name: rows[name] for name in stable} == {name: scraped[name] for name in stable}
    assert {name for name in scraped if not name[0].endswith("_created")} >= set(rows)


def test_metrics_are_off_by_default(server: RunningServer) -> None:
    """Nothing listens unless somebody asks for it."""
    assert server.metrics_url is None


def test_a_taken_metrics_port_is_refused(measured: RunningServer, tmp_path: Path) -> None:
    """With the address in the message, and without a server that is half there."""
    port = port_of(measured)
    with pytest.raises(InvalidArgument, match=f"cannot serve metrics on 127.0.0.1:{port}"):
        start(str(tmp_path / "other"), settings=ServerSettings(metrics_port=port))


def test_the_metrics_end_with_the_server(tmp_path: Path) -> None:
    """Its port is free again."""
    with running_server(str(tmp_path / "a"), settings=ServerSettings(metrics_port=0)) as server:
        port = port_of(server)
    with running_server(str(tmp_path / "b"), settings=ServerSettings(metrics_port=port)) as server:
        assert scrape(server)["flightsrv_trace_seconds_count",] == 0


def test_the_log_line_of_a_trace_says_what_it_took(
    measured: RunningServer, process: Process, measured_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Cold it builds and reads; warm it finds all in the caches."""
    caplog.set_level(logging.INFO, "flightsrv")
    for _ in ("cold", "read", "warm"):
        measured_client.query(trace_sql(process))
    cold, read, warm = (message for message in caplog.messages if "chunk_data" in message)
    for line in (cold, read, warm):
        assert " (trace_ms=" in line
        assert "streams=3, views_ms=" in line
    assert "partitions_built=1, builds_ms=" in cold
    assert "store_reads=1, store_ms=" in cold
    assert "row_misses=1, file_misses=1, store_reads=1" in read
    assert "row_hits=1" in warm
    assert "partitions_built" not in read + warm
    assert "store_reads" not in warm


def test_clients_that_know_nothing_of_progress_get_rows(process: Process, measured_client: Client) -> None:
    """A table of chunks, and nothing else."""
    table = measured_client.query(trace_sql(process))
    assert table["chunk_id"].to_pylist() == list(range(table.num_rows))
    assert all(table["chunk_data"].to_pylist())


def test_only_those_who_asked_get_batches_without_rows(measured: RunningServer, process: Process) -> None:
    """The trace tells how far it is in any case."""
    ticket = flight.Ticket(pack(TicketStatementQuery(statement_handle=trace_sql(process).encode())))
    with flight.connect(measured.url) as connection:
        plain = list(connection.do_get(ticket))
        asked = list(connection.do_get(ticket, call_options({"trace_progress": "true"})))
    assert all(chunk.data.num_rows and chunk.app_metadata is None for chunk in plain)
    assert all(bool(chunk.data.num_rows) == (chunk.app_metadata is None) for chunk in asked)
    assert sum(chunk.data.num_rows for chunk in asked) == len(plain) < len(asked)


def test_the_client_library_knows_the_final_counts(measured: RunningServer, process: Process) -> None:
    """Of threads, spans and bytes."""
    with flightsrv.client.connect(measured.url) as client, client.trace_chunks(process.process_id) as chunks:
        trace = b"".join(chunks)
        spans = client.query(f"SELECT count(*) AS n FROM process_spans('{process.process_id}', 'both')")
    told = chunks.progress
    assert (told.threads_done, told.threads_total, told.message) == (3, 3, "Trace complete")
    assert told.nb_spans == spans["n"][0].as_py()
    assert told.size_bytes == len(trace)
