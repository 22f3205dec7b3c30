"""Queries and ingestion against a real server."""

import subprocess
import sys
import threading
from collections import Counter

import pyarrow as pa
import pytest

import flightsrv.client
from flightsrv.client import InvalidRequest, QueryClient
from tests.model.trace_reader import read_trace

COUNT_TO_A_MILLION = "SELECT value FROM generate_series(1, 1000000)"


def test_a_query_answers_with_a_table(client):
    """Values and types as the server has them."""
    table = client.query("SELECT 1 AS a, 'täler' AS b, TIMESTAMP '2026-01-01T00:00:00.000000001Z' AS c")
    assert table.schema.field("a").type == pa.int64()
    assert table.column("b").to_pylist() == ["täler"]
    assert table.column("c").cast(pa.int64()).to_pylist() == [1_767_225_600_000_000_001]


def test_an_empty_result_has_its_columns(client):
    """A table without rows still says what it would hold."""
    table = client.query("SELECT process_id, start_ticks FROM processes WHERE false")
    assert (table.num_rows, table.column_names) == (0, ["process_id", "start_ticks"])


def test_a_query_can_answer_with_pandas(client):
    """For those who have it installed."""
    frame = client.query_pandas("SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a")
    assert frame["a"].tolist() == [1, 2]


def test_without_pandas_the_error_says_what_to_install(client, monkeypatch):
    """An ImportError, as for every package that is missing."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"flightsrv\[pandas\]"):
        client.query_pandas("SELECT 1")


def test_a_stream_brings_batches_as_they_come(client):
    """More than one, and together the whole result."""
    with client.stream(COUNT_TO_A_MILLION) as batches:
        sizes = [batch.num_rows for batch in batches]
    assert len(sizes) > 1
    assert sum(sizes) == 1_000_000


def test_a_closed_stream_ends(client):
    """Reading on finds nothing, and the client goes on working."""
    batches = client.stream(COUNT_TO_A_MILLION)
    next(batches)
    batches.close()
    assert list(batches) == []
    assert client.query("SELECT 1 AS a").num_rows == 1


def test_parameters_are_values_and_never_sql(client, process_id):
    """Quotes in a value stay text; times keep their nanoseconds."""
    text = "x'; DROP TABLE processes; --"
    moment = pa.scalar(1, pa.timestamp("ns", "UTC"))
    table = client.query("SELECT $1 AS text, $2 AS time, $3 + 1 AS number", [text, moment, 41])
    assert table.column("text").to_pylist() == [text]
    assert table.column("time").cast(pa.int64()).to_pylist() == [1]
    assert table.column("number").to_pylist() == [42]
    spans = client.query("SELECT name FROM process_spans($1, 'thread')", pa.record_batch({"1": [process_id]}))
    assert spans.column("name").to_pylist() == ["outer", "inner"]


def test_missing_parameters_are_refused(client):
    """With the numbers that were expected and given."""
    with pytest.raises(InvalidRequest, match="takes 2 parameters, given: 1"):
        client.query("SELECT $1, $2", [1])
    with pytest.raises(InvalidRequest, match="takes 2 parameters, none are bound"):
        client.query("SELECT $1, $2", [])


def test_no_parameters_are_as_none_at_all(client):
    """A program that fills in what there is need not ask."""
    assert client.query("SELECT 1 AS one", []).to_pylist() == [{"one": 1}]


@pytest.mark.parametrize("value", [2**70, object()], ids=["too large", "no value"])
def test_a_parameter_that_cannot_be_sent_is_refused(client, value):
    """Before anything is asked."""
    with pytest.raises(InvalidRequest, match="a parameter cannot be sent"):
        client.query("SELECT $1", [value])


def test_a_statement_is_text(client):
    """Anything else is refused in words."""
    with pytest.raises(InvalidRequest, match="sql must be text, given: 3"):
        client.query(3)


def test_a_range_limits_what_views_show(client, process_id):
    """Both ends are included, and one end alone leaves the other open."""
    statement = f"SELECT name FROM process_spans('{process_id}', 'thread') ORDER BY begin"

    def names(**limits):
        return client.query(statement, **limits).column("name").to_pylist()

    assert names() == ["outer", "inner"]
    assert names(begin="1970-01-01T00:00:03Z", end="1970-01-01T00:00:04Z") == ["outer", "inner"]
    assert names(begin=3_000_000_001) == ["outer"]
    assert names(end=1_999_999_999) == ["outer"]
    assert names(begin=5_000_000_001) == []


def test_processes_lists_what_was_ingested(client, process_id):
    """With the columns of the table."""
    processes = client.processes()
    assert process_id in processes.column("process_id").to_pylist()
    assert "it's a program" in processes.column("exe").to_pylist()


def test_a_trace_holds_the_spans_of_the_process(client, process_id):
    """All of its life unless a range is given; bad arguments are refused with the server's words."""

    def names(trace):
        return [piece.name for track in read_trace(trace).thread_tracks for piece in track.slices]

    assert names(client.trace(process_id)) == ["outer", "inner"]
    assert names(client.trace(process_id, begin=4_000_000_000)) == ["outer"]
    assert names(client.trace(process_id, span_types="async")) == []
    with pytest.raises(InvalidRequest, match="span_types must be 'thread', 'async', 'both', or 'all', given: 'fibers'"):
        client.trace(process_id, span_types="fibers")
    with pytest.raises(flightsrv.client.NotFound, match=r"""^process "it's" is unknown$"""):
        client.trace("it's")


def test_refused_telemetry_says_why(client):
    """The server's message reaches the sender, even where it comes in the middle of sending."""
    with pytest.raises(InvalidRequest, match="column"):
        client.ingest("processes", pa.table({"process_id": ["p"]}))
    with pytest.raises(flightsrv.client.NotFound, match="no table 'spans'"):
        client.ingest("spans", pa.table({"a": ["x" * 1_000_000] * 50}))


def test_one_client_serves_several_threads(client, process_id):
    """Queries, traces and ingestion at once, each with its own answer."""
    answers: Counter[object] = Counter()

    def work(number: int) -> None:
        for _ in range(5):
            answers[client.query(f"SELECT {number} AS n").column("n").to_pylist()[0]] += 1
            answers[client.trace(process_id)] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: answers[number] for number in range(4)} == dict.fromkeys(range(4), 5)
    assert answers[client.trace(process_id)] == 20


def test_a_closed_client_refuses_work(server):
    """With one of our own errors."""
    client = QueryClient(server.url)
    client.close()
    with pytest.raises(flightsrv.client.FlightsrvError):
        client.query("SELECT 1")


def test_importing_the_client_registers_no_protobuf_messages():
    """Other Flight SQL packages register theirs in the default pool, where nothing may be twice."""
    program = """
import sys
import flightsrv.client
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery
pack(CommandStatementQuery(query="SELECT 1"))
from google.protobuf import descriptor_pool
try:
    descriptor_pool.Default().FindMessageTypeByName("arrow.flight.protocol.sql.CommandStatementQuery")
except KeyError:
    print("apart")
print(sorted({"datafusion", "numba", "pandas", "sqlalchemy"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "apart\n[]\n"


def test_a_query_that_takes_too_long_is_stopped(client):
    """The server computes no more for it."""
    endless = "SELECT count(*) FROM generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) WHERE v * w < 0"
    with pytest.raises(flightsrv.client.Unavailable):
        client.query(endless, timeout_seconds=0.2)
    assert client.query("SELECT 1 AS one", timeout_seconds=60).to_pydict() == {"one": [1]}
