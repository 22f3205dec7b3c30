"""The functions are tables like any other: projected, filtered, joined, limited; and careful with arguments."""

import re
from collections.abc import Callable

import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls, end, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process, timestamp
from tests.model.rows import Row, process_span_rows, thread_span_rows, without
from tests.model.spans import TimeRange
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, cut
from udtf.errors import InvalidArgument, NotFound
from udtf.lake.lake import Lake

LIFE = f"{timestamp(ALL_TIME.begin_ns)}, {timestamp(ALL_TIME.end_ns)}"


@pytest.fixture(scope="module")
def process(lake: Lake) -> Process:
    """Two threads, of which one has spans that are still open, and two tasks that overlap."""
    process = examples.process(
        examples.thread(*calls(30), name="first"),
        examples.thread(begin(5, "ü"), begin(5, "it's"), end(5), begin(9, "open"), name="second"),
        examples.tasks(
            task_begin(0, 1), task_begin(5, 2, 1, 1, "child"), task_end(9, 1), task_end(12, 2, 1, 1, "child")
        ),
    )
    ingest_process(lake, process)
    ingest_blocks(lake, _blocks(process))
    return process


def _blocks(process: Process) -> list[Block]:
    return [block for stream in process.streams for block in cut(stream, [50])]


def _view(process: Process, thread: int = 0) -> str:
    return f"view_instance('thread_spans', '{process.streams[thread].stream_id}')"


FILTERS: dict[str, Callable[[Row], bool]] = {
    "depth = 1": lambda row: row["depth"] == 1,
    "depth <> 1": lambda row: row["depth"] != 1,
    "depth > 0 AND id < 9": lambda row: row["depth"] > 0 and row["id"] < 9,
    "depth > 0 OR id < 9": lambda row: row["depth"] > 0 or row["id"] < 9,
    "NOT (depth > 0 OR id < 9)": lambda row: not (row["depth"] > 0 or row["id"] < 9),
    "name = 'g'": lambda row: row["name"] == "g",
    "name <> 'g'": lambda row: row["name"] != "g",
    "name IN ('f', 'it''s', 'nothing')": lambda row: row["name"] in ("f", "it's"),
    "name NOT IN ('f', 'g')": lambda row: row["name"] not in ("f", "g"),
    "name LIKE 'i%'": lambda row: row["name"].startswith("i"),
    "name > 'f'": lambda row: row["name"] > "f",
    "upper(name) = 'F'": lambda row: row["name"] == "f",
    "name = 'ü' AND target = 'app' AND filename = 'app.py'": lambda row: row["name"] == "ü",
    "id IN (0, 2, 4)": lambda row: row["id"] in (0, 2, 4),
    "id % 4 = 1": lambda row: row["id"] % 4 == 1,
    "line = 10 AND parent = -1": lambda row: row["parent"] == -1,
    "parent <> -1": lambda row: row["parent"] != -1,
    '"end" IS NULL': lambda row: row["end"] is None,
    '"end" IS NOT NULL': lambda row: row["end"] is not None,
    "duration IS NULL OR duration >= 10": lambda row: row["duration"] is None or row["duration"] >= 10,
    "duration = 0": lambda row: row["duration"] == 0,
    "NOT (duration > 3)": lambda row: row["duration"] is not None and row["duration"] <= 3,
    "duration > 3 IS NOT TRUE": lambda row: row["duration"] is None or row["duration"] <= 3,
    f"begin >= {timestamp(at(100))}": lambda row: row["begin"] >= at(100),
    f"begin BETWEEN {timestamp(at(5))} AND {timestamp(at(60))}": lambda row: at(5) <= row["begin"] <= at(60),
    f'"end" < {timestamp(at(60))}': lambda row: row["end"] is not None and row["end"] < at(60),
    "hash = hash": lambda row: True,
    "false": lambda row: False,
    "depth = 1 AND false": lambda row: False,
}  # fmt: skip


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize("condition", FILTERS)
def test_where_keeps_exactly_the_rows_that_it_says(
    condition: str, thread: int, reader: Reader, process: Process
) -> None:
    """A filter may go down into the scan, and must mean the same there."""
    stream = process.streams[thread]
    expected = [row for row in thread_span_rows(process, stream, _blocks(process)) if FILTERS[condition](row)]
    rows = reader.rows(f"SELECT * FROM {_view(process, thread)} WHERE {condition}")
    assert without(rows, "hash") == expected
    assert reader.rows(f"SELECT id FROM {_view(process, thread)} WHERE {condition}") == [
        {"id": row["id"]} for row in expected
    ]
    assert reader.rows(f"SELECT count(*) AS n FROM {_view(process, thread)} WHERE {condition}") == [
        {"n": len(expected)}
    ]


@pytest.mark.parametrize("columns", ["id", '"end", begin', "name, name AS again", "duration, line, hash", "1"])
def test_a_projection_reads_the_columns_that_it_names(columns: str, reader: Reader, process: Process) -> None:
    """Any columns in any order, or none at all."""
    whole = reader.rows(f"SELECT *, name AS again, 1 AS one FROM {_view(process)}")
    names = [name.strip().strip('"').removeprefix("name AS ") for name in columns.split(",")]
    rows = reader.rows(f"SELECT {columns} FROM {_view(process)}")
    assert [list(row.values()) for row in rows] == [
        [row["one" if name == "1" else name] for name in names] for row in whole
    ]


@pytest.mark.parametrize("limit", [0, 1, 7, 1000])
def test_limit_and_offset_cut_the_ordered_rows(limit: int, reader: Reader, process: Process) -> None:
    """Rows come in the order of their begins, so the first ones are the first."""
    whole = reader.rows(f"SELECT * FROM {_view(process)}")
    assert reader.rows(f"SELECT * FROM {_view(process)} LIMIT {limit} OFFSET 3") == whole[3 : 3 + limit]


def test_views_join_and_aggregate(reader: Reader, process: Process) -> None:
    """Children joined with their parents, grouped by name, in a common table expression."""
    rows = reader.rows(
        f"WITH spans AS (SELECT * FROM {_view(process)}) "
        "SELECT outer_.name AS outer_name, inner_.name AS inner_name, count(*) AS n, "
        "sum(inner_.duration) AS total FROM spans AS inner_ JOIN spans AS outer_ ON inner_.parent = outer_.id "
        "GROUP BY 1, 2"
    )
    assert rows == [{"outer_name": "f", "inner_name": "g", "n": 30, "total": 120}]


def test_views_join_with_tables(reader: Reader, process: Process) -> None:
    """Spans know their stream, streams their process."""
    rows = reader.rows(
        f"SELECT p.exe, s.properties['thread-name'] AS thread, count(*) AS n "
        f"FROM process_spans('{process.process_id}', 'thread') AS spans "
        "JOIN streams AS s ON s.stream_id = spans.stream_id "
        "JOIN processes AS p ON p.process_id = s.process_id GROUP BY 1, 2 ORDER BY 2"
    )
    assert [row["n"] for row in rows] == [60, 3]
    assert {row["exe"] for row in rows} == {"model"}


@pytest.mark.parametrize(
    ("time_range", "tasks"),
    [(None, 2), (TimeRange(at(0), at(4)), 1), (TimeRange(at(10), at(10)), 1), (TimeRange(at(13), at(20)), 0)],
)
def test_process_spans_takes_its_range_from_the_query(
    time_range: TimeRange | None, tasks: int, reader: Reader, process: Process
) -> None:
    """Spans that touch the range, and no others."""
    rows = reader.rows(f"SELECT * FROM process_spans('{process.process_id}', 'async')", time_range)
    assert len(rows) == tasks
    expected = process_span_rows(process, _blocks(process), "async", time_range)
    assert sorted(without(rows, "hash"), key=repr) == sorted(expected, key=repr)


def test_chunks_are_filtered_ordered_and_counted(reader: Reader, process: Process) -> None:
    """A chunk is a row."""
    chunks = reader.chunks(process.process_id, "both", ALL_TIME)
    table = f"perfetto_trace_chunks('{process.process_id}', 'both', {LIFE})"
    assert len(chunks) >= 2
    assert reader.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": len(chunks)}]
    assert reader.rows(f"SELECT chunk_data FROM {table} WHERE chunk_id = 1") == [{"chunk_data": chunks[1]}]
    assert reader.rows(f"SELECT chunk_id FROM {table} ORDER BY chunk_id DESC LIMIT 1") == [
        {"chunk_id": len(chunks) - 1}
    ]
    assert reader.rows(f"SELECT chunk_data FROM {table} LIMIT 1") == [{"chunk_data": chunks[0]}]


def test_times_may_be_any_constant_expression(reader: Reader, process: Process) -> None:
    """What a planner folds to a time is a time."""
    table = (
        f"perfetto_trace_chunks(concat('{process.process_id[:8]}', '{process.process_id[8:]}'), 'thread', "
        "TIMESTAMP '2025-12-31T23:00:00Z' + INTERVAL '1 hour', now())"
    )
    data = b"".join(row["chunk_data"] for row in reader.rows(f"SELECT chunk_data FROM {table}"))
    whole = reader.trace_bytes(process.process_id, "thread", TimeRange(at(0), at(1000)))
    assert data == whole


def test_explain_tells_the_plan(reader: Reader, process: Process) -> None:
    """EXPLAIN answers without running anything."""
    rows = reader.rows(f"EXPLAIN SELECT * FROM {_view(process)}")
    assert {row["plan_type"] for row in rows} >= {"logical_plan", "physical_plan"}


def _wrong_arguments() -> dict[str, tuple[str, str]]:
    one = "TIMESTAMP '2026-01-01T00:00:00Z'"
    return {
        "no such span types": (
            f"perfetto_trace_chunks('P', 'fibers', {LIFE})",
            "span_types must be 'thread', 'async', 'both', or 'all', given: 'fibers'",
        ),
        "span types of another case": (
            f"perfetto_trace_chunks('P', 'Both', {LIFE})",
            "span_types must be 'thread', 'async', 'both', or 'all', given: 'Both'",
        ),
        "span types of process_spans": (
            "process_spans('P', 'fibers')",
            "span_types must be 'thread', 'async', 'both', or 'all', given: 'fibers'",
        ),
        "span types are null": (f"perfetto_trace_chunks('P', NULL, {LIFE})", "span_types"),
        "span types are a number": (f"perfetto_trace_chunks('P', 7, {LIFE})", "span_types"),
        "process is null": (f"perfetto_trace_chunks(NULL, 'both', {LIFE})", "process_id"),
        "process is a number": (f"perfetto_trace_chunks(7, 'both', {LIFE})", "process_id"),
        "begin is null": (f"perfetto_trace_chunks('P', 'both', NULL, {one})", "begin"),
        "begin is a truth": (f"perfetto_trace_chunks('P', 'both', true, {one})", "begin"),
        "end is null": (f"perfetto_trace_chunks('P', 'both', {one}, NULL)", "end"),
        "end is no time": (f"perfetto_trace_chunks('P', 'both', {one}, 'tomorrow')", "end"),
        "end before begin": (
            f"perfetto_trace_chunks('P', 'both', {one}, {one} - INTERVAL '1 second')",
            "begin",
        ),
        "too few": ("perfetto_trace_chunks('P', 'both')", "perfetto_trace_chunks"),
        "too many": (f"perfetto_trace_chunks('P', 'both', {LIFE}, 1)", "perfetto_trace_chunks"),
        "none": ("view_instance()", "view_instance"),
        "no such view set": ("view_instance('fiber_spans', 'P')", "fiber_spans"),
        "view set is null": ("view_instance(NULL, 'P')", "view_set"),
        "instance is null": ("view_instance('thread_spans', NULL)", "instance"),
        "retire of no such view set": (f"retire_partitions('fiber_spans', 'P', {LIFE})", "fiber_spans"),
        "materialize without a range": ("materialize_partitions('thread_spans', 'P')", "materialize_partitions"),
        "seconds are text": (f"materialize_partitions('thread_spans', {LIFE}, 'hour')", "materialize_partitions"),
        "list with an argument": ("list_partitions(1)", "list_partitions"),
    }


@pytest.mark.parametrize("kind", _wrong_arguments())
def test_a_wrong_argument_fails_while_planning(kind: str, reader: Reader, process: Process) -> None:
    """The message names the argument, what is accepted and what came."""
    call, message = _wrong_arguments()[kind]
    with pytest.raises(InvalidArgument, match=re.escape(message)) as failure:
        reader.plan(f"SELECT * FROM {call}".replace("'P'", f"'{process.process_id}'"))
    assert "Traceback" not in str(failure.value)
    assert "/" not in str(failure.value).replace("'both'", ""), "a path of the server"


@pytest.mark.parametrize(
    "value",
    [
        "CAST(100000000 AS DATE)",
        "arrow_cast(9223372036854775807, 'Duration(Second)')",
        "arrow_cast(9223372036854775807, 'Timestamp(Second, None)')",
    ],
)
def test_values_that_python_cannot_hold_are_refused_as_others(value: str, reader: Reader, process: Process) -> None:
    """With the same words."""
    for arguments in (f"'both', {value}, now()", f"{value}, now(), now()"):
        with pytest.raises(InvalidArgument, match=r"(begin|span_types) of perfetto_trace_chunks (is|must be) "):
            reader.rows(f"SELECT * FROM perfetto_trace_chunks('{process.process_id}', {arguments})")


@pytest.mark.parametrize(
    "call",
    [
        f"perfetto_trace_chunks('nobody', 'both', {LIFE})",
        "process_spans('nobody', 'both')",
        "view_instance('thread_spans', 'nobody')",
        "view_instance('async_events', 'nobody')",
        f"materialize_partitions('thread_spans', 'nobody', {LIFE})",
    ],
)
def test_what_the_lake_does_not_have_is_not_found(call: str, reader: Reader) -> None:
    """The message names it."""
    with pytest.raises(NotFound, match="nobody"):
        reader.rows(f"SELECT * FROM {call}")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "SET datafusion.execution.batch_size = 1",
        "INSERT INTO processes SELECT * FROM processes",
        "DROP TABLE processes",
        "DELETE FROM blocks",
        "SELECT * FROM '/etc/passwd'",
        "SELEC 1",
        "SELECT nothing FROM processes",
        "SELECT * FROM nowhere",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_a_statement_that_does_not_only_read_is_refused(statement: str, reader: Reader) -> None:
    """Planning fails before anything has happened, as the caller's mistake."""
    with pytest.raises(InvalidArgument) as failure:
        reader.plan(statement)
    assert "Traceback" not in str(failure.value)
    assert reader.rows("SELECT 1 AS still_here") == [{"still_here": 1}]


def test_the_announced_schema_is_that_of_every_batch(reader: Reader, process: Process) -> None:
    """Clients are told the schema before the first row."""
    for sql in (
        f"SELECT * FROM {_view(process)}",
        f"SELECT name || 'x' AS text, chunk_data FROM {_view(process)} "
        f"CROSS JOIN perfetto_trace_chunks('{process.process_id}', 'both', {LIFE}) LIMIT 3",
        "SELECT * FROM list_view_sets()",
        "SELECT * FROM list_partitions()",
        "SELECT * FROM blocks",
        f"SELECT name, count(*) FROM {_view(process)} GROUP BY name",
    ):
        query = reader.plan(sql)
        assert all(batch.schema.equals(query.schema) for batch in query.batches())
