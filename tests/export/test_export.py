"""An exported dataset has what the lake has: each row once, in the file of its hour, whatever came late."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.telemetry import blocks_batch, cut_blocks, streams_batch, whole_stream
from tests.export.conftest import HOUR_S, Exported
from tests.functions.test_whole_spans import Span, columns_of
from tests.model import examples
from tests.model.examples import begin, end, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process, partitioned_like
from tests.model.rows import Row, in_any_order, process_span_rows
from tests.model.strategies import START_TIME_NS, Delivery, deliveries, effort, processes
from tests.model.telemetry import Event, Process, cut
from udtf.errors import StoreUnavailable
from udtf.export import dataset
from udtf.export.dataset import HOUR_NS, Dataset
from udtf.export.export import export
from udtf.export.tables import TABLES
from udtf.lake.lake import Lake
from udtf.lake.objects import ObjectStore
from udtf.lake.settings import LakeSettings
from udtf.lake.time_range import ALL_TIME, TimeRange
from udtf.views.catalog import KINDS

SLOW_CLOCK = processes(max_threads=2, max_async_streams=1, max_moment_streams=2, clocks=st.just(1000))
"""Of a thousand ticks a second, so that telemetry has hours."""


def _is_near(process: Process) -> bool:
    """Within some hours, rather than in another age."""
    return all(abs(event.ticks - process.start_ticks) < 10**9 for stream in process.streams for event in stream.events)


@effort(6)
@given(delivery=deliveries(SLOW_CLOCK.filter(_is_near)), data=st.data())
def test_duckdb_reads_what_the_lake_has(
    lake: Lake, reader: Reader, tmp_path_factory: pytest.TempPathFactory, delivery: Delivery, data: st.DataObject
) -> None:
    """However often it is exported while telemetry comes, late or not; and then there is nothing left to write."""
    process = delivery.process
    exported = Exported(lake, tmp_path_factory.mktemp("random"))
    with partitioned_like(delivery), patch.object(dataset, "ROW_GROUP_ROWS", delivery.row_group_rows):
        ingest_process(lake, process)
        for batch in delivery.batches:
            ingest_blocks(lake, batch)
            if data.draw(st.sampled_from([False, False, True]), label="exported now"):
                exported.written(process)
        exported.written(process)
        assert exported.written(process) == []
        of_sql = {
            kind: reader.rows(f"SELECT * FROM view_instance('{kind}', '{process.process_id}')")
            for kind in ("log_entries", "measures")
        }
    spans = exported.rows("spans", process)
    expected = process_span_rows(process, delivery.blocks, "both")
    assert in_any_order(map(_plain_span, spans)) == in_any_order(expected)
    types = {stream.stream_id: "async" if stream.is_async else "thread" for stream in process.streams}
    for row in spans:
        assert (row["exe"], row["computer"], row["span_type"]) == (process.exe, None, types[row["stream_id"]])
    for kind, rows in of_sql.items():
        assert in_any_order(map(_plain_moment, exported.rows(kind, process))) == in_any_order(
            {**row, **_properties(row)} for row in rows
        )
    for table, column in (("spans", "begin"), ("log_entries", "time"), ("measures", "time")):
        for row in exported.rows(table, process):
            time_ns = row[f"{column}_ns"]
            assert int(row[column].timestamp() * 10**6 + 0.5) == time_ns // 1000
            assert (row["date"], row["hour"]) == (row[column].date(), time_ns // HOUR_NS % 24)


def _plain_span(row: Row) -> Row:
    """As the model has it."""
    shown = ("stream_id", "thread_name", "id", "parent", "depth", "duration", "name", "target", "filename", "line")
    return {**{name: row[name] for name in shown}, "begin": row["begin_ns"], "end": row["end_ns"], **_properties(row)}


def _plain_moment(row: Row) -> Row:
    """As SQL has it."""
    ours = ("process_id", "exe", "computer", "date", "hour", "time", "time_ns", "properties")
    columns = {name: value for name, value in row.items() if name not in ours}
    return {"time": row["time_ns"], **columns, **_properties(row)}


def _properties(row: Row) -> Row:
    """In order of their keys: DuckDB has them as a dict, SQL as a list of pairs."""
    properties: Any = row["properties"]
    return {"properties": sorted(properties.items() if isinstance(properties, dict) else properties)}


def _hourly(lake: Lake, *events: Event) -> Process:
    """A process of one thread, whose ticks are seconds; nothing of it has been sent."""
    process = examples.process(examples.thread(*events), tsc_frequency=1)
    ingest_process(lake, process)
    return process


def _calls(hours: Sequence[int]) -> list[Event]:
    """A call of ten seconds in each of these hours, which are in order and may come again."""
    times = [hour * HOUR_S + 20 * number for number, hour in enumerate(hours)]
    return [event for time in times for event in (begin(time), end(time + 10))]


def test_only_what_is_new_is_written(lake: Lake, exported: Exported) -> None:
    """An hour that is over stays as it is; the one that goes on is written anew, and so is what a range touches."""
    process = _hourly(lake, *_calls([0, 1, 2, 2, 3]))
    first, second, third, again, fourth = cut(process.streams[0], [2, 4, 6, 8])
    ingest_blocks(lake, [first, second])
    assert exported.written(process) == ["spans/0", "spans/1"]
    ingest_blocks(lake, [third])
    assert exported.written(process) == ["spans/2"]
    ingest_blocks(lake, [again])
    assert exported.written(process) == ["spans/2"]
    ingest_blocks(lake, [fourth])
    second_hour = TimeRange(START_TIME_NS + HOUR_NS, START_TIME_NS + 2 * HOUR_NS - 1)
    assert exported.written(process, second_hour) == []
    assert exported.written(process) == ["spans/3"]
    assert len(exported.rows("spans", process)) == 5


def test_what_comes_late_writes_its_hour_and_those_after_it(lake: Lake, exported: Exported) -> None:
    """What is around a span depends on what was before it; nothing is in two files."""
    process = _hourly(lake, *_calls(range(4)))
    blocks = cut(process.streams[0], [2, 4, 6])
    ingest_blocks(lake, [blocks[0], blocks[2]])
    ingest_blocks(lake, [blocks[3]])
    assert exported.written(process) == ["spans/0", "spans/2", "spans/3"]
    ingest_blocks(lake, [blocks[1]])
    assert exported.written(process) == ["spans/1", "spans/2", "spans/3"]
    assert sorted(row["hour"] for row in exported.rows("spans", process)) == [0, 1, 2, 3]


def test_a_span_gets_its_end_when_that_has_come(lake: Lake, exported: Exported) -> None:
    """It stays in the hour in which it began; hours without a span that is open are left alone."""
    process = _hourly(lake, begin(5, "main"), *_calls([1, 2]), end(3 * HOUR_S, "main"))
    blocks = cut(process.streams[0], [1, 3, 5])
    ingest_blocks(lake, blocks[:2])
    assert exported.written(process) == ["spans/0", "spans/1"]
    ingest_blocks(lake, [blocks[2]])
    assert exported.written(process) == ["spans/0", "spans/2"]
    assert [row["end"] for row in exported.rows("spans", process) if row["name"] == "main"] == [None]
    ingest_blocks(lake, [blocks[3]])
    assert exported.written(process) == ["spans/0"]
    assert [row["duration"] for row in exported.rows("spans", process) if row["name"] == "main"] == [
        (3 * HOUR_S - 5) * 10**9
    ]
    assert exported.written(process) == []


def test_what_the_lake_has_removed_stays_in_the_dataset(lake: Lake, exported: Exported) -> None:
    """Of a process that still runs, and of one that has gone."""
    process = _hourly(lake, *_calls(range(9)))
    blocks = cut(process.streams[0], range(2, 18, 2))
    for block in blocks:
        ingest_blocks(lake, [block])
    assert len(exported.written(process)) == 9
    other = Exported(lake, exported.folder.with_name("later"))
    lake.removal.older_than(START_TIME_NS + 8 * HOUR_NS)
    assert exported.written(process) == []
    assert len(other.written(process)) == 1
    assert len(exported.rows("spans", process)) == 9
    lake.removal.delete(process.process_id)
    assert not any(outcome.nb_rows for outcome in export(lake, Dataset(str(exported.folder)), TABLES, ALL_TIME))
    assert len(exported.rows("spans", process)) == 9


def test_what_is_damaged_is_missing_and_told(lake: Lake, exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is written."""
    process = _hourly(lake, *_calls([0, 0, 1]))
    for block in cut(process.streams[0], [2, 4]):
        ingest_blocks(lake, [block])
    damaged = lake.metadata.segments(process.process_id, [0])[0].object_key
    really = lake.objects.get_range
    monkeypatch.setattr(
        lake.objects,
        "get_range",
        lambda key, *more: really(key, *more)[::-1] if key == damaged else really(key, *more),
    )
    outcomes = [outcome for outcome in exported.outcomes(process) if outcome.nb_rows]
    assert [(outcome.nb_rows, len(outcome.damaged)) for outcome in outcomes] == [(1, 1), (1, 0)]
    assert "segment 0" in outcomes[0].damaged[0]


def test_what_cannot_be_read_now_is_tried_again(
    lake: Lake, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no file without it meanwhile, and the other hours have theirs."""
    process = _hourly(lake, *_calls([0, 1]))
    for block in cut(process.streams[0], [2]):
        ingest_blocks(lake, [block])
    away = lake.metadata.segments(process.process_id, [0])[0].object_key
    really = lake.objects.get_range

    def fail(key: str, *more: object) -> bytes:
        if key == away:
            raise StoreUnavailable("the store is away")
        return really(key, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(lake.objects, "get_range", fail)
        errors = [str(outcome.error) for outcome in exported.outcomes(process) if outcome.error]
    assert errors == ["the store is away"]
    assert [row["hour"] for row in exported.rows("spans", process)] == [1]
    assert exported.written(process) == ["spans/0"]


KILLED = """
import os, shutil, signal, sys
from udtf.export.dataset import Dataset
from udtf.export.export import export
from udtf.export.tables import TABLES
from udtf.lake.lake import Lake
from udtf.lake.time_range import ALL_TIME

def half(source, copy, size):
    copy.write(source.read()[:100])
    copy.flush()
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfileobj = half
list(export(Lake.open(sys.argv[1]), Dataset(sys.argv[2]), TABLES, ALL_TIME))
"""


def test_an_export_that_is_killed_leaves_no_half_file(tmp_path: Path) -> None:
    """No reader sees what it had begun, the next one goes on, and what is left over goes away later."""
    own = Lake.open(str(tmp_path / "lake"))
    process = _hourly(own, *_calls([0, 1]))
    ingest_blocks(own, cut(process.streams[0], [2]))
    exported = Exported(own, tmp_path / "dataset")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "lake"), str(exported.folder)]
    assert subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}).returncode == -signal.SIGKILL
    left = [path for path in exported.folder.rglob("*") if path.is_file()]
    assert left
    assert list(exported.folder.glob("**/[!.]*.parquet")) == []
    assert exported.written(process) == ["spans/0", "spans/1"]
    assert len(exported.rows("spans", process)) == 2
    Dataset(str(exported.folder)).tidy(TABLES, left[0].stat().st_mtime + 4000)
    assert all(path.suffix == ".parquet" for path in exported.folder.rglob("*") if path.is_file())
    own.close()


def test_an_object_store_has_the_same_dataset(
    lake: Lake, exported: Exported, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the footer of a file is longer than what is read of it at first."""
    monkeypatch.setattr(dataset, "ROW_GROUP_ROWS", 1)
    process = examples.process(
        examples.thread(*_calls([0] * 40), *_calls([1])),
        examples.tasks(task_begin(1, 1), task_end(HOUR_S, 1)),
        tsc_frequency=1,
    )
    ingest_process(lake, process)
    ingest_blocks(lake, [block for stream in process.streams for block in cut(stream, [2])])
    exported.written(process)
    remote = Dataset(s3_url)
    with patch.object(dataset, "_TAIL_BYTES", 100):
        for nb_files in (2, 0):
            outcomes = list(export(lake, remote, TABLES, ALL_TIME, [process.process_id]))
            assert [outcome.error for outcome in outcomes if outcome.error] == []
            assert sum(outcome.nb_rows > 0 for outcome in outcomes) == nb_files
    objects = ObjectStore.open(s3_url)
    for path in exported.folder.rglob("*.parquet"):
        data = objects.get(path.relative_to(exported.folder).as_posix())
        assert pq.read_table(pa.BufferReader(data)).equals(pq.ParquetFile(path).read())


def test_other_processes_write_the_same_files(lake: Lake, exported: Exported) -> None:
    """Where the lake has some that build for it."""
    process = _hourly(lake, *_calls([0, 0, 1]))
    ingest_blocks(lake, cut(process.streams[0], [2]))
    assert lake.address is not None
    other = Lake.at(replace(lake.address, settings=LakeSettings(builders="processes")))
    assert other.elsewhere is not None
    assert other.elsewhere.wait_until_ready(60)
    assert Exported(other, exported.folder).written(process) == ["spans/0", "spans/1"]
    assert other.objects.statistics().requests == 0
    other.close()
    assert exported.written(process) == []
    assert len(exported.rows("spans", process)) == 3


def test_readers_need_nothing_of_ours(lake: Lake, exported: Exported) -> None:
    """Texts are text, times are microseconds with a zone, and every file of a table has the same columns."""
    process = _hourly(lake, *_calls([0, 1]))
    ingest_blocks(lake, cut(process.streams[0], [2]))
    exported.written(process)
    schemas = [pq.read_schema(path) for path in exported.folder.rglob("*.parquet")]
    assert len(schemas) == 2
    assert schemas[0].remove_metadata().equals(schemas[1].remove_metadata())
    assert schemas[0].field("name").type == pa.utf8()
    assert schemas[0].field("begin").type == pa.timestamp("us", tz="UTC")
    assert not [field for field in schemas[0] if pa.types.is_dictionary(field.type)]


def test_every_kind_of_telemetry_is_in_a_table() -> None:
    """One that is added later, too."""
    assert sorted(kind.name for table in TABLES for kind in table.kinds) == sorted(kind.name for kind in KINDS)


def test_spans_that_come_whole_are_in_the_hours_of_their_begins(exported: Exported) -> None:
    """Also if nothing else of their upload is in these hours, and if they come late."""
    lake, process = exported.lake, examples.process()
    ingest_process(lake, process)
    stream = whole_stream(f"{process.process_id}-spans", process.process_id)
    lake.ingest("streams", streams_batch([stream]))

    def send(*spans: Span) -> None:
        lake.ingest("blocks", blocks_batch(list(cut_blocks(stream, columns_of(spans), None))))

    send(Span(5 * HOUR_NS, 5 * HOUR_NS + 10, 1, 0, "short", 0), Span(0, 5 * HOUR_NS + 5, 2, 0, "long", 0))
    first = exported.written(process)
    assert exported.written(process) == []
    send(Span(2 * HOUR_NS, 6 * HOUR_NS, 3, 0, "late", 0))
    assert len(first) == 2
    assert len(exported.written(process)) == 3
    begins = {row["name"]: row["begin_ns"] for row in exported.rows("spans", process)}
    assert begins == {name: process.time_ns(hour * HOUR_NS) for name, hour in (("short", 5), ("long", 0), ("late", 2))}
