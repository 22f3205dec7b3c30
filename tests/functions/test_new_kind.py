"""A kind of telemetry that the lake has never heard of: its module and a line in the list of kinds are all it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.model import examples
from tests.model.examples import at, calls
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.spans import TimeRange
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.errors import InvalidTelemetry
from udtf.lake import history, schemas, view
from udtf.lake.block_format import FORMAT
from udtf.lake.clock import Clock
from udtf.lake.events import Events
from udtf.lake.index import Index
from udtf.lake.lake import Lake
from udtf.lake.metadata import StreamRow
from udtf.lake.scopes import NO_SCOPES, ScopeTable
from udtf.lake.time_range import TimeRange as Range
from udtf.perfetto.writer import TraceWriter
from udtf.views.catalog import KINDS
from udtf.views.kind import Bools, Int64s, Kind, Part, Piece
from udtf.views.kind import Reader as RowReader
from udtf.views.spans import TEXT, nanoseconds, timestamps


@dataclass(frozen=True)
class MarkRows:
    ordinals: Int64s
    times_ns: Int64s
    labels: pa.StringArray

    def __len__(self) -> int:
        return len(self.ordinals)

    def overlapping(self, time_range: Range) -> Bools:
        return (self.times_ns >= time_range.begin_ns) & (self.times_ns <= time_range.end_ns)

    def take(self, positions: Int64s) -> "MarkRows":
        return MarkRows(self.ordinals[positions], self.times_ns[positions], self.labels.take(pa.array(positions)))


class MarkReader(RowReader[MarkRows]):
    """A mark is whole in itself, so there is nothing to complete."""

    def complete(self, rows: pa.RecordBatch, scopes: ScopeTable, runs: Int64s, bounds: Int64s) -> MarkRows:
        return MarkRows(nanoseconds(rows.column("ordinal")), nanoseconds(rows.column("time")), rows.column("label"))

    def outside(self, runs: Bools) -> Part[MarkRows]:
        nothing = np.empty(0, np.int64)
        wanted = np.flatnonzero(runs)
        rows = MarkRows(nothing, nothing, pa.array([], pa.utf8()))
        return Part(rows, wanted, np.zeros(len(wanted) + 1, np.int64), NO_SCOPES)

    def orphans(self) -> tuple[Int64s, Int64s]:
        return np.empty(0, np.int64), np.empty(0, np.int64)


@dataclass(frozen=True)
class MarkTracer:
    writer: TraceWriter
    index: Index

    def write(self, parts: Sequence[Part[MarkRows]], *, last: bool) -> Iterator[tuple[int, int, Piece]]:
        for part in parts:
            streams = self.index.runs.streams[part.row_runs()]
            for stream, time_ns, label in zip(streams, part.columns.times_ns, part.columns.labels, strict=True):
                yield int(stream), 0, self.writer.instant(None, int(time_ns), label.as_py(), {})


class Marks(Kind):
    name = "marks"
    instance_of = "process"
    tag = "mark"
    column = "test_marks"
    event = pa.struct([pa.field("ticks", pa.int64(), nullable=False), pa.field("label", pa.utf8(), nullable=False)])
    rows = pa.schema(
        [
            pa.field("ordinal", pa.int64(), nullable=False),
            pa.field("time", schemas.TIMESTAMP, nullable=False),
            pa.field("label", pa.utf8(), nullable=False),
        ]
    )
    columns = pa.schema(
        [
            pa.field("stream_id", TEXT, nullable=False),
            pa.field("time", schemas.TIMESTAMP, nullable=False),
            pa.field("label", pa.utf8(), nullable=False),
        ]
    )
    schema_version = 1

    def check(self, events: Events, bounds: Int64s) -> None:
        if "" in events.rows.column("label").to_pylist():
            raise InvalidTelemetry("column 'label' is empty, expected a text")

    def loose(self, events: Events, bounds: Int64s, streams: npt.NDArray[np.int32]) -> Bools:
        return np.zeros(len(events), np.bool_)

    def count_rows(self, events: Events, bounds: Int64s) -> Int64s:
        counts: Int64s = np.diff(bounds)
        return counts

    def build(
        self, events: Events, ordinals: Int64s, bounds: Int64s, streams: npt.NDArray[np.int32], clock: Clock
    ) -> pa.RecordBatch:
        times = timestamps(clock.to_ns(events.column("ticks")))
        return pa.record_batch([pa.array(ordinals), times, events.rows.column("label")], schema=self.rows)

    def reader(self, index: Index, clock: Clock) -> MarkReader:
        return MarkReader()

    def batch(
        self, part: Part[MarkRows], streams: Sequence[StreamRow], row_streams: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        stream_ids = pa.array([stream.stream_id for stream in streams], pa.utf8())
        ids = pa.DictionaryArray.from_arrays(pa.array(row_streams), stream_ids)
        return pa.record_batch([ids, timestamps(part.columns.times_ns), part.columns.labels], schema=self.columns)

    def tracer(self, writer: TraceWriter, streams: Sequence[StreamRow], index: Index) -> MarkTracer:
        return MarkTracer(writer, index)


MARKS = [(10 * number, f"mark {number}") for number in range(60)]


@pytest.fixture(autouse=True)
def marks() -> Iterator[None]:
    """One line in the list of kinds, while a test runs."""
    KINDS.append(Marks())
    yield
    KINDS.pop()


@pytest.fixture
def process(lake: Lake) -> Process:
    """A process with a thread and two streams of marks, which take turns: 30 each, in six uploads."""
    process = examples.process(examples.thread(*calls(30)))
    ingest_process(lake, process)
    rows = [
        {"stream_id": _stream_id(process, turn), "process_id": process.process_id, "tags": ["mark"], "format": FORMAT}
        for turn in range(2)
    ]
    fields = [schemas.STREAMS.field(name) for name in ("stream_id", "process_id", "tags", "format")]
    lake.ingest("streams", pa.RecordBatch.from_pylist(rows, pa.schema(fields)))
    for block in cut(process.streams[0], [60]):
        ingest_blocks(lake, [block])
    for upload in range(6):
        lake.ingest("blocks", _batch(process, upload))
    return process


def _stream_id(process: Process, turn: int) -> str:
    return f"{process.process_id}-marks-{turn}"


def _batch(process: Process, upload: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "stream_id": _stream_id(process, turn),
                "object_offset": 5 * upload,
                "test_marks": [{"ticks": ticks, "label": label} for ticks, label in MARKS[turn::2][5 * upload :][:5]],
            }
            for turn in range(2)
        ],
        pa.schema([("stream_id", pa.utf8()), ("object_offset", pa.int64()), ("test_marks", pa.list_(Marks.event))]),
    )


@pytest.mark.parametrize(("max_events", "nb_partitions"), [(10, 6), (1 << 17, 1)])
def test_a_new_kind_is_shown_as_all_others_are(
    max_events: int, nb_partitions: int, lake: Lake, reader: Reader, process: Process
) -> None:
    """As a view, in the table of blocks, as partitions, as instants of a trace; sent again, it is stored once."""
    with patch.object(history, "MAX_PARTITION_EVENTS", max_events), patch.object(view, "WINDOW_EVENTS", 20):
        for upload in range(6):
            lake.ingest("blocks", _batch(process, upload))
        blocks = reader.rows(
            f"SELECT * FROM blocks WHERE process_id = '{process.process_id}' AND block_id LIKE '%marks%'"
        )
        assert sorted((row["block_id"], row["nb_objects"]) for row in blocks) == sorted(
            (f"{_stream_id(process, turn)}-{5 * upload}", 5) for turn in range(2) for upload in range(6)
        )
        sql = f"SELECT * FROM view_instance('marks', '{process.process_id}')"
        for _ in ("cold", "warm"):
            rows = reader.rows(f"{sql} ORDER BY time")
            assert rows == [
                {"stream_id": _stream_id(process, number % 2), "time": at(ticks), "label": label}
                for number, (ticks, label) in enumerate(MARKS)
            ]
        some = reader.rows(f"{sql} ORDER BY time", TimeRange(at(100), at(250)))
        assert [row["label"] for row in some] == [label for ticks, label in MARKS if 100 <= ticks <= 250]
        partitions = reader.rows(
            f"SELECT * FROM list_partitions() WHERE process_id = '{process.process_id}' AND view_set = 'marks'"
        )
        assert len(partitions) == nb_partitions
        assert sum(int(str(row["nb_rows"])) for row in partitions) == len(MARKS)
        trace = reader.trace(process.process_id, "all", TimeRange(at(100), at(250)))
        instants = {(mark.begin_ns, mark.name) for track in trace.tracks.values() for mark in track.instants}
        assert instants == {(at(ticks), label) for ticks, label in MARKS if 100 <= ticks <= 250}
        spans = reader.trace(process.process_id, "both", TimeRange(at(100), at(250)))
        assert not any(track.instants for track in spans.tracks.values())


def test_a_new_kind_is_checked_and_named(lake: Lake, reader: Reader, process: Process) -> None:
    """Its own check, its own tag; it is in the list of view sets, and has no spans."""
    batch = _batch(process, 0).to_pylist()
    for changed, message in (
        ({"test_marks": [{"ticks": 10**6, "label": ""}], "object_offset": 30}, "'label' is empty"),
        ({"stream_id": process.streams[0].stream_id, "object_offset": 1000}, "tagged 'mark'"),
    ):
        spoiled: list[dict[str, Any]] = [{**batch[0], **changed}]
        with pytest.raises(InvalidTelemetry, match=message):
            lake.ingest("blocks", pa.RecordBatch.from_pylist(spoiled, _batch(process, 0).schema))
    assert {"view_set": "marks", "instance_of": "process", "schema_version": 1} in reader.rows(
        "SELECT view_set, instance_of, schema_version FROM list_view_sets()"
    )
    spans = reader.rows(f"SELECT DISTINCT thread_name FROM process_spans('{process.process_id}', 'both')")
    assert spans == [{"thread_name": "main"}]
    reader.trace(process.process_id, "all", ALL_TIME)
    assert reader.messages == []
