"""What does telemetry cost, by the upload and by the event? `python -m benchmarks run unit_costs`

Two processes send 200 uploads each, a busy one of 5,000 events each, and a quiet one of 50; the costs of any other lie
between or follow from both. Bytes, requests to the store, rows of the database and processor time are counted from the
first upload until all small objects are packed, then for the first trace of all of it, by a new server, then for
the same trace again. `docs/scale.md` goes on from these figures.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.lakes import DATABASE, WARM_UP_ID, Workbench
from benchmarks.recordings import WARM_UP, Live
from benchmarks.results import Result
from benchmarks.servers import WrongTrace, check_equal, flightsrv_server
from udtf.lake.history import MAX_PARTITION_SEGMENTS

SHAPES = {"busy": Live(200, threads=50, spans_per_flush=50), "quiet": Live(200, threads=5, spans_per_flush=5)}
PACKED_WITHIN_S = 60.0
_OBJECTS = "SELECT count(DISTINCT object_key) FROM segments"
_STORED = (
    ("objects", "objects", _OBJECTS),
    ("segments", "bytes", "SELECT sum(size_bytes) FROM histories"),
    ("rows", "rows", "SELECT (SELECT count(*) FROM segments) + (SELECT count(*) FROM rollups)"),
    ("lists of blocks", "bytes", "SELECT coalesce(sum(length(blocks)), 0) FROM segments"),
    ("indexes of segments", "bytes", 'SELECT coalesce(sum(length("index")), 0) FROM segments'),
    ("indexes of stretches", "bytes", 'SELECT coalesce(sum(length("index")), 0) FROM rollups'),
    ("database (SQLite)", "bytes", "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
)
_BUILT = (
    ("partitions", "partitions", "SELECT count(*) FROM partitions"),
    ("files of partitions", "bytes", "SELECT coalesce(sum(size_bytes), 0) FROM partitions"),
)


def measure(bench: Workbench, **shapes: Live) -> Iterator[Result]:
    for name, live in (shapes or SHAPES).items():
        with bench.folder("costs-") as folder:
            yield from _of(name, live, folder / "lake")


def _of(name: str, live: Live, lake: Path) -> Iterator[Result]:
    uploads = list(live.uploads())
    nb_uploads, events = live.flushes * live.repeats, 2 * live.spans

    def told(figure: str, unit: str, amount: float) -> Result:
        of_event = {"of a million events": amount * 1e6 / events, "events": float(events)}
        return Result(f"{name}, {figure}", f"{unit}/upload", None, (amount / nb_uploads,), of_event)

    with flightsrv_server(lake, warm_up=False) as server:
        for upload in WARM_UP.uploads_as(WARM_UP_ID):
            server.client.ingest(*upload)
        server.trace(WARM_UP_ID)
        stored = [_one(lake / DATABASE, sql) for _, _, sql in _STORED]
        cpu_s, store = server.cpu_seconds(), server.store_use()
        for upload in uploads:
            server.client.ingest(*upload)
        _wait_until_packed(lake, nb_uploads)
        cpu_s, store = server.cpu_seconds() - cpu_s, server.store_use() - store
    yield told("sent", "bytes", sum(batch.nbytes for _, batch in uploads))
    yield told("in: server CPU", "ms", cpu_s * 1e3)
    yield told("in: requests to the store", "requests", store.requests)
    yield told("in: bytes written to the store", "bytes", store.written_bytes)
    for (figure, unit, sql), before in zip(_STORED, stored, strict=True):
        yield told(f"stored: {figure}", unit, _one(lake / DATABASE, sql) - before)
    built = [_one(lake / DATABASE, sql) for _, _, sql in _BUILT]
    with flightsrv_server(lake) as server:
        traces = []
        for figure in ("first trace", "trace again"):
            store = server.store_use()
            trace = server.trace(live.process_id)
            used = server.store_use() - store
            traces.append(trace)
            yield told(f"{figure}: server CPU", "ms", trace.server_cpu_ms)
            yield told(f"{figure}: requests to the store", "requests", used.requests)
            yield told(f"{figure}: bytes read from the store", "bytes", used.read_bytes)
        check_equal(traces)
        server.check_spans(live.process_id, live.spans)
        yield told("trace", "bytes", trace.size_bytes)
    for (figure, unit, sql), before in zip(_BUILT, built, strict=True):
        yield told(f"built: {figure}", unit, _one(lake / DATABASE, sql) - before)


def _wait_until_packed(lake: Path, nb_uploads: int) -> None:
    """Raises WrongTrace if it takes too long."""
    expected = sum(divmod(nb_uploads, MAX_PARTITION_SEGMENTS))
    objects = f"{_OBJECTS} WHERE process_id != '{WARM_UP_ID}'"
    end_s = time.monotonic() + PACKED_WITHIN_S
    while (nb_objects := _one(lake / DATABASE, objects)) > expected:
        if time.monotonic() > end_s:
            raise WrongTrace(f"{nb_objects} objects hold {nb_uploads} uploads, expected {expected}")
        time.sleep(0.2)


def _one(database: Path, sql: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        number: int = connection.execute(sql).fetchone()[0]
        return number
