"""How long do questions take that SQL puts to a million spans? `python -m benchmarks run sql`

Of 50 threads, whose partitions are all there; and of one of these threads, and of none: a row of `processes`.
"""

import statistics
import time
from collections.abc import Iterator

from benchmarks import uploads
from benchmarks.lakes import Workbench
from benchmarks.recordings import MILLION, Whole
from benchmarks.results import Budget, Result
from benchmarks.servers import Server, flightsrv_server

RUNS = 9

STATEMENTS = {
    "all spans, all columns": "SELECT * FROM {spans}",
    "count": "SELECT count(*) FROM {spans}",
    "group by name": "SELECT name, count(*), sum(duration), max(duration) FROM {spans} GROUP BY name",
    "the ten longest": "SELECT name, begin, duration FROM {spans} ORDER BY duration DESC LIMIT 10",
    "self time": """
        WITH spans AS (SELECT * FROM {spans}),
        children AS (SELECT stream_id, parent, sum(duration) AS duration FROM spans GROUP BY stream_id, parent)
        SELECT s.name, count(*), sum(s.duration - coalesce(c.duration, 0)) AS self_ns
        FROM spans s LEFT JOIN children c ON c.stream_id = s.stream_id AND c.parent = s.id
        GROUP BY s.name ORDER BY self_ns DESC LIMIT 10""",
}


OF_ONE_THREAD = (
    "SELECT name, count(*), sum(duration), max(duration) FROM view_instance('thread_spans', '{stream}') GROUP BY name"
)
OF_A_PROCESS = "SELECT * FROM processes WHERE process_id = '{process}'"


def measure(bench: Workbench, whole: Whole = MILLION, runs: int = RUNS) -> Iterator[Result]:
    with bench.fresh_copy(whole) as lake, flightsrv_server(lake) as server:
        server.check_spans(whole.process_id, whole.spans)
        spans = f"process_spans('{whole.process_id}', 'thread')"
        for name, statement in STATEMENTS.items():
            yield _timed(server, name, statement.format(spans=spans), runs, None)
        stream = uploads.thread_streams(whole.process_id, 1)[0].stream_id
        yield _timed(server, "one thread by name", OF_ONE_THREAD.format(stream=stream), 5 * runs, Budget(10))
        yield _timed(server, "row of a process", OF_A_PROCESS.format(process=whole.process_id), 5 * runs, Budget(4))


def _timed(server: Server, name: str, sql: str, runs: int, budget: Budget | None) -> Result:
    """Asked once before, so that all that is needed is in memory."""
    _ask(server, sql)
    answers = [_ask(server, sql) for _ in range(runs)]
    rows = statistics.median(rows for _, rows in answers)
    return Result(f"SQL: {name}", "ms", budget, tuple(ms for ms, _ in answers), {"rows": rows})


def _ask(server: Server, sql: str) -> tuple[float, int]:
    """How long it took to have all rows, and how many they are."""
    begin_s = time.perf_counter()
    rows = server.client.query(sql).num_rows
    return (time.perf_counter() - begin_s) * 1e3, rows
