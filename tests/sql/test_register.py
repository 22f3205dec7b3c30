"""A lake in a DataFusion session of one's own, without a server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datafusion
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udtf
from tests.server.telemetry import START_NS, Recording
from udtf.functions.catalog import TABLE_FUNCTIONS
from udtf.lake.lake import Lake
from udtf.lake.time_range import TimeRange

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recording() -> Recording:
    """One process."""
    return Recording()


@pytest.fixture
def lake(lake_folder: Path, recording: Recording) -> Iterator[Lake]:
    """With one process in it."""
    opened = Lake.open(str(lake_folder))
    for table, batch in recording.tables().items():
        opened.ingest(table, batch)
    yield opened
    opened.close()


@pytest.fixture
def context(lake: Lake) -> datafusion.SessionContext:
    """A session as anybody makes one."""
    made = datafusion.SessionContext()
    udtf.register(made, lake)
    return made


def rows(context: datafusion.SessionContext, sql: str) -> dict[str, list[Any]]:
    return context.sql(sql).to_pydict()


def test_all_tables_and_functions_are_there(context: datafusion.SessionContext, recording: Recording) -> None:
    """Those of SQL as a server has it."""
    for table in ("processes", "streams", "blocks"):
        assert rows(context, f"SELECT count(*) AS n FROM {table}") == {"n": [1]}
    process, stream = f"'{recording.process_id}'", f"'{recording.stream_id}'"
    minute = "TIMESTAMP '2026-01-01T10:00:00', TIMESTAMP '2026-01-01T10:01:00'"
    called = {
        "perfetto_trace_chunks": f"{process}, 'both', {minute}",
        "view_instance": f"'thread_spans', {stream}",
        "spans": "'both'",
        "self_time": process,
        "flamegraph": process,
        "latency_histogram": f"{process}, 'outer'",
        "caused_spans": f"{process}, {stream}, 0",
        "span_attributes": f"{process}, {stream}, 0",
        "process_spans": f"{process}, 'thread'",
        "materialize_partitions": f"'thread_spans', {stream}, {minute}",
        "retire_partitions": f"'thread_spans', {stream}, {minute}",
    }
    for function in TABLE_FUNCTIONS:
        frame = context.sql(f"SELECT * FROM {function.name}({called.get(function.name, '')})")
        assert frame.schema().names == function.schema(_arguments(function.name, called)).names


def _arguments(name: str, called: dict[str, str]) -> dict[str, Any]:
    return {"view_set": "thread_spans"} if "'thread_spans'" in called.get(name, "") else {}


def test_filters_mean_what_sql_says(context: datafusion.SessionContext, recording: Recording) -> None:
    """Null is in no list, and not outside of one either; and it is DataFusion alone that writes filters so."""
    others = "'a', 'b', 'c', 'd', 'e'"
    assert rows(context, f"SELECT process_id AS p FROM processes WHERE process_id NOT IN ({others})") == {
        "p": [recording.process_id]
    }
    assert rows(context, f"SELECT process_id AS p FROM processes WHERE process_id NOT IN ({others}, NULL)") == {"p": []}
    assert rows(context, f"SELECT process_id AS p FROM processes WHERE username NOT IN ({others})") == {"p": []}
    assert isinstance(pc.field("process_id"), pc.Expression)
    table = pa.table({"n": [1, None]})
    assert table.filter(~pc.field("n").isin([2])).num_rows == 2


def test_a_time_range_is_registered_with_the_lake(
    context: datafusion.SessionContext, lake: Lake, recording: Recording
) -> None:
    """The last one counts, and nothing is registered twice."""
    sql = f"SELECT name FROM process_spans('{recording.process_id}', 'thread') ORDER BY name"
    assert rows(context, sql) == {"name": ["inner", "outer"]}
    udtf.register(context, lake, TimeRange(START_NS + 70, START_NS + 80))
    assert rows(context, sql) == {"name": ["outer"]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("process_spans('{0}', 'threads')", "span_types must be 'thread', 'async', 'both', or 'all', given"),
        ("process_spans('nobody', 'thread')", "process 'nobody' is unknown"),
        ("process_spans('{0}')", "process_spans takes 2 arguments"),
    ],
)
def test_mistakes_are_told(context: datafusion.SessionContext, recording: Recording, call: str, message: str) -> None:
    """By the session, in our words."""
    with pytest.raises(Exception, match=re.escape(message)):
        context.sql(f"SELECT * FROM {call.format(recording.process_id)}")


def test_the_script_in_the_docs_runs(lake: Lake, lake_folder: Path) -> None:
    """As it is written."""
    lake.close()
    (script,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8"), re.DOTALL
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=lake_folder.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == ("['outer', 'inner']\n", "")
    assert b"outer" in (lake_folder.parent / "minute.pftrace").read_bytes()
