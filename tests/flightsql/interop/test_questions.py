"""The same questions, put by every client, have the same answers."""

import hashlib

import pytest

from flightsrv.flight.transports.transport import TransportName
from tests.flightsql.interop.asking import Client, Failed
from tests.server.telemetry import Recording

TRACE = "SELECT chunk_id, chunk_data FROM perfetto_trace_chunks(?, 'both', ?, ?) ORDER BY chunk_id"
BEGIN, END = "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"


def test_tables_are_listed(asking: Client) -> None:
    """In the way that the client has for that."""
    assert asking.tables() == ["blocks", "processes", "streams"]


def test_tables_are_queried(asking: Client, recording: Recording) -> None:
    """A join, a map, an aggregate, a parameter."""
    sql = """
        SELECT s.properties['thread-name'] AS thread, sum(b.nb_objects) AS events
        FROM streams s JOIN blocks b USING (stream_id) WHERE s.process_id = ? GROUP BY 1
    """
    assert asking.ask(sql, [recording.process_id]) == [{"thread": "main", "events": 4}]


def test_functions_are_found(asking: Client) -> None:
    """In the information schema, since no client has a list of functions."""
    sql = """
        SELECT routine_name FROM information_schema.routines
        WHERE function_type = 'TABLE' AND routine_name LIKE ? ORDER BY routine_name
    """
    assert [row["routine_name"] for row in asking.ask(sql, ["%_instance"])] == ["view_instance"]
    assert [row["routine_name"] for row in asking.ask(sql, ["perfetto%"])] == ["perfetto_trace_chunks"]


def test_spans_are_queried(asking: Client, recording: Recording) -> None:
    """With dictionaries as text, unsigned numbers, times and a missing value."""
    sql = """
        SELECT name, target, line, depth, duration, "end" - begin = arrow_cast(duration, 'Duration(ns)') AS is_exact,
            nullif(depth, 0) AS nothing
        FROM process_spans(?, 'both') WHERE duration >= ? ORDER BY begin
    """
    rows = asking.ask(sql, [recording.process_id, 60])
    expected = {"name": "outer", "target": "app", "line": 1, "depth": 0, "duration": 100, "is_exact": True}
    assert [{name: row[name] for name in expected} for row in rows] == [expected]
    assert rows[0]["nothing"] is None or rows[0]["nothing"] != rows[0]["nothing"]


def test_view_of_a_thread_is_queried(asking: Client, recording: Recording) -> None:
    """Ordered as it comes."""
    rows = asking.ask("SELECT name, parent FROM view_instance('thread_spans', ?)", [recording.stream_id])
    assert [(row["name"], row["parent"]) for row in rows] == [("outer", -1), ("inner", 0)]


def test_trace_is_queried(asking: Client, recording: Recording) -> None:
    """Parameters in the arguments, bytes in the rows: the same trace for all."""
    rows = asking.ask(TRACE, [recording.process_id, BEGIN, END])
    assert [row["chunk_id"] for row in rows] == list(range(len(rows)))
    chunks = [row["chunk_data"] for row in rows]
    trace = b"".join(bytes.fromhex(chunk) if isinstance(chunk, str) else bytes(chunk) for chunk in chunks)
    assert b"outer" in trace
    assert b"inner" in trace
    seen = _TRACES.setdefault(recording.process_id, hashlib.sha256(trace).hexdigest())
    assert seen == hashlib.sha256(trace).hexdigest()


_TRACES: dict[str, str] = {}
"""Digest of the trace that the first client got, by process."""


def test_text_beyond_ascii_is_queried(asking: Client) -> None:
    """There and back again."""
    text = "naïve 'quoted' \"Ω\" 🙂 -- ? $1"
    assert asking.ask("SELECT ? AS text, octet_length(?) AS size", [text, text]) == [
        {"text": text, "size": len(text.encode())}
    ]


def test_many_rows_are_queried(asking: Client) -> None:
    """More than fit into one message of any client: 24 MiB."""
    rows = asking.ask("SELECT value, repeat(?, 24 * 1024) AS text FROM range(1024)", ["x"])
    assert [row["value"] for row in rows] == list(range(1024))
    assert {len(row["text"]) for row in rows} == {24 * 1024}


def test_nothing_is_queried(asking: Client) -> None:
    """No rows are no failure."""
    assert asking.ask("SELECT * FROM processes WHERE process_id = ?", ["nobody"]) == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELEC 1", "SELEC"),
        ("COPY processes TO 'stolen.csv'", "not supported"),
        ("SELECT * FROM process_spans('nobody', 'both')", "nobody"),
        ("SELECT * FROM perfetto_trace_chunks('x', 'fibers', now(), now())", "span_types must be"),
    ],
)
def test_mistakes_are_explained(asking: Client, transport: TransportName, sql: str, message: str) -> None:
    """In words of the server's, where the client passes them on."""
    with pytest.raises(Failed) as failed:
        asking.ask(sql)
    told = str(failed.value)
    assert message in told or type(asking).__name__ == "FlightSqlClient"  # it says that preparing failed, no more
    # pyarrow.flight adds one to what Python raised, whatever it is.
    assert transport == "pyarrow" or "Traceback" not in told
