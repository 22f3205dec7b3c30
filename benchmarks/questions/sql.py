"""How long do questions take that SQL puts to a million spans? `python -m benchmarks run sql`

Of 50 threads, whose partitions are all there. The spans go to a process that computes and back, but for those that
nothing is done to.
"""

import statistics
import time
from collections.abc import Iterator

from benchmarks.lakes import MILLION, Shape, Workbench
from benchmarks.results import Result
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


def measure(bench: Workbench, shape: Shape = MILLION, runs: int = RUNS) -> Iterator[Result]:
    with bench.fresh_copy(shape) as lake, flightsrv_server(lake) as server:
        server.check_spans(shape.process_id, shape.spans)
        for name, statement in STATEMENTS.items():
            sql = statement.format(spans=f"process_spans('{shape.process_id}', 'thread')")
            _ask(server, sql)
            answers = [_ask(server, sql) for _ in range(runs)]
            yield Result(
                f"SQL: {name}",
                "ms",
                None,
                tuple(ms for ms, _ in answers),
                {"rows": statistics.median(rows for _, rows in answers)},
            )


def _ask(server: Server, sql: str) -> tuple[float, int]:
    """How long it took to have all rows, and how many they are."""
    begin_s = time.perf_counter()
    rows = server.client.query(sql).num_rows
    return (time.perf_counter() - begin_s) * 1e3, rows
