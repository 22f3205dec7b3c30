"""Work grows with the events of the range that was asked for, and with nothing else: shown by counting."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, event

from tests.model import examples
from tests.model.examples import at
from tests.model.lake import ingest_process
from tests.model.places import is_upkeep
from tests.model.telemetry import Process
from udtf.functions.perfetto_trace_chunks import PerfettoTraceChunks
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.functions.table_function import Query
from udtf.lake import schemas
from udtf.lake.lake import Lake

SECOND = 10**9
UPLOAD_S = 2
NB_THREADS = 3
SPANS_PER_UPLOAD = 2


@dataclass
class Counts:
    """What happened while it was counted."""

    statements: int = 0
    commits: int = 0
    syncs: int = 0
    rows: int = 0
    requests: int = 0
    written_bytes: int = 0


@contextmanager
def counted(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    counts = Counts()
    really = os.fsync

    def sync(file: int) -> None:
        counts.syncs += not is_upkeep()
        really(file)

    def note_statement(*_: object) -> None:
        counts.statements += not is_upkeep()

    def note_commit(*_: object) -> None:
        counts.commits += not is_upkeep()

    before = lake.objects.statistics()
    event.listen(Engine, "before_cursor_execute", note_statement)
    event.listen(Engine, "commit", note_commit)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", sync)
            yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", note_statement)
        event.remove(Engine, "commit", note_commit)
    after = lake.objects.statistics()
    counts.requests = after.requests - before.requests
    counts.written_bytes = after.written_bytes - before.written_bytes


def _blocks(process: Process, uploads: range, nb_blocks: int = 1) -> pa.RecordBatch:
    """The blocks of some uploads: each thread has a few spans every two seconds, cut into so many blocks."""
    kinds = np.tile(np.array([0, 1], np.uint8), SPANS_PER_UPLOAD * len(uploads))
    steps = np.arange(2 * SPANS_PER_UPLOAD) * (UPLOAD_S * SECOND // (2 * SPANS_PER_UPLOAD))
    ticks = (np.array(uploads)[:, None] * UPLOAD_S * SECOND + steps[None, :]).ravel()
    scopes = pa.array([examples.scope("f")._asdict()], schemas.SCOPE)
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(ticks), np.int32)), scopes)
    events = pa.StructArray.from_arrays([pa.array(ticks), pa.array(kinds), codes], fields=list(schemas.THREAD_EVENT))
    first = uploads.start * 2 * SPANS_PER_UPLOAD
    cuts = np.linspace(0, len(ticks), nb_blocks + 1).astype(np.int32)
    nb_streams = len(process.streams)
    return pa.record_batch(
        {
            "stream_id": np.repeat([stream.stream_id for stream in process.streams], nb_blocks),
            "object_offset": np.tile(first + cuts[:-1].astype(np.int64), nb_streams),
            "thread_events": pa.concat_arrays([pa.ListArray.from_arrays(pa.array(cuts), events)] * nb_streams),
        }
    )


def _process(lake: Lake, nb_threads: int = NB_THREADS) -> Process:
    process = examples.process(*(examples.thread(name=f"t{number}") for number in range(nb_threads)))
    ingest_process(lake, process)
    return process


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake.open(str(tmp_path / "lake"))
    yield opened
    opened.close()


@pytest.mark.parametrize("nb_threads", [1, 40])
@pytest.mark.parametrize("nb_blocks", [1, 50])
def test_an_upload_is_one_object_one_transaction_and_a_few_syncs(
    nb_threads: int, nb_blocks: int, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads and blocks it has; sent again, it writes nothing."""
    process = _process(lake, nb_threads)
    lake.ingest("blocks", _blocks(process, range(100)))
    batch = _blocks(process, range(100, 200), nb_blocks)
    with counted(lake, monkeypatch) as counts:
        lake.ingest("blocks", batch)
    assert (counts.requests, counts.commits, counts.syncs) == (1, 1, 2)
    # Settings of the transaction, its begin, the history, the segment.
    assert counts.statements <= 6
    with counted(lake, monkeypatch) as again:
        lake.ingest("blocks", batch)
    assert (again.requests, again.commits, again.syncs) == (0, 0, 0)


@pytest.mark.parametrize("nb_before", [9, 200])
def test_an_upload_costs_the_same_after_a_long_history(
    nb_before: int, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so do a late block, which fills a gap, and a lake that was opened anew, but for a logarithm."""
    process = _process(lake)
    for number in range(nb_before):
        if number != 4:
            lake.ingest("blocks", _blocks(process, range(number, number + 1)))
    with counted(lake, monkeypatch) as counts:
        lake.ingest("blocks", _blocks(process, range(nb_before, nb_before + 1)))
    assert (counts.requests, counts.commits) == (1, 1)
    assert counts.statements <= 6
    with counted(lake, monkeypatch) as late:
        lake.ingest("blocks", _blocks(process, range(4, 5)))
    assert (late.requests, late.commits) == (1, 1)
    assert late.statements <= 6 + 3 * NB_THREADS * len(oct(nb_before))


def _trace(lake: Lake, process: Process, begin_s: int, end_s: int) -> int:
    """The bytes of a trace, made by the function itself: no engine, no statement but those of the lake."""
    query = Query(lake, QueryContext(), QuerySettings(), lake.metrics.tally())
    rows = PerfettoTraceChunks().plan(
        query,
        process_id=process.process_id,
        span_types="both",
        begin=at(begin_s * SECOND),
        end=at(end_s * SECOND),
    )
    return sum(batch.column("chunk_data").nbytes for batch in rows.batches() if batch.num_rows)


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Process]]:
    """A lake with histories of ten minutes and of almost forty, by uploads of two seconds."""
    folder = tmp_path_factory.mktemp("histories") / "lake"
    opened = Lake.open(str(folder))
    processes = {}
    for nb_uploads in (300, 1100):
        processes[nb_uploads] = process = _process(opened)
        for number in range(nb_uploads):
            opened.ingest("blocks", _blocks(process, range(number, number + 1)))
    opened.close()
    return folder, processes


def test_a_minute_of_a_long_history_costs_what_one_of_a_short_one_does(
    histories: tuple[Path, dict[int, Process]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests, files and bytes are the same within a stretch more or less, statements but for a logarithm; cold and
    warm, in a server that has just started."""
    folder, processes = histories
    counts: dict[tuple[str, int], Counts] = {}
    for state in ("cold", "warm"):
        for nb_uploads, process in processes.items():
            opened = Lake.open(str(folder))
            with counted(opened, monkeypatch) as counts[state, nb_uploads]:
                assert _trace(opened, process, 300, 360) > 0
            opened.close()
    short, long = processes
    for state in ("cold", "warm"):
        assert counts[state, short].requests == counts[state, long].requests > 0
        # One more level of stretches.
        assert counts[state, long].statements <= counts[state, short].statements + 6
    assert counts["cold", short].requests <= 2 * 60 // UPLOAD_S + 30
    assert counts["warm", short].requests <= 30
    assert counts["cold", short].written_bytes == pytest.approx(counts["cold", long].written_bytes, rel=0.1)
    assert counts["warm", long].written_bytes == 0


def test_rows_and_memory_are_those_of_the_range(
    histories: tuple[Path, dict[int, Process]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are fetched, and what is kept of them, grow with the logarithm of a history."""
    from udtf.lake.metadata import database

    folder, processes = histories
    fetched: dict[int, int] = {}
    kept: dict[int, float] = {}
    really = database.rows_of
    for nb_uploads, process in processes.items():
        opened = Lake.open(str(folder))
        _trace(opened, process, 300, 360)
        fetched[nb_uploads] = 0

        def count(*arguments: object, number: int = nb_uploads) -> list[object]:
            rows: list[object] = really(*arguments)  # type: ignore[arg-type]
            fetched[number] += len(rows)
            return rows

        other = Lake.open(str(folder))
        with monkeypatch.context() as patched:
            for module in ("access", "store", "partition_rows"):
                patched.setattr(f"udtf.lake.metadata.{module}.rows_of", count)
            _trace(other, process, 300, 360)
        kept[nb_uploads] = other.metrics.registry.get_sample_value("flightsrv_cache_bytes", {"cache": "index"}) or 0
        opened.close()
        other.close()
    short, long = processes
    assert 0 < fetched[long] <= fetched[short] + 16
    assert 0 < kept[long] <= kept[short] + 16 * 8000


def test_ten_minutes_that_come_at_once_are_read_in_one_piece(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """One upload is one segment, so that a minute of it is one request, and one partition."""
    process = _process(lake)
    lake.ingest("blocks", _blocks(process, range(300), nb_blocks=300))
    with counted(lake, monkeypatch) as cold:
        assert _trace(lake, process, 300, 360) > 0
    # Read the segment, write the partition.
    assert cold.requests == 2
