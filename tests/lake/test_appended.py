"""Blocks without ordinals, which the lake appends to their streams: in any order of time, each once."""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pyarrow as pa
import pytest

from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Reader, block_batch, ingest_process
from tests.model.places import Place
from tests.model.spans import TimeRange
from tests.model.telemetry import LogLine, MomentStream, Process, Scope, cut
from udtf.errors import InvalidTelemetry
from udtf.lake.ingestion import ingest, open_history
from udtf.lake.lake import Lake

_HERE = Scope("f", "app", "app.py", 10)


def _process(*ticks: int) -> Process:
    lines = tuple(LogLine(tick, _HERE, 3, f"at {tick}") for tick in ticks)
    return examples.process(MomentStream(str(uuid.uuid4()), False, "", 1, lines, "log", None))


def _appended(process: Process, cuts: list[int]) -> list[pa.RecordBatch]:
    """The lines of a process, a batch for each part."""
    batches = [block_batch([block]) for block in cut(process.streams[0], cuts)]
    return [batch.drop_columns(["object_offset", "begin_ticks", "end_ticks"]) for batch in batches]


def _messages(reader: Reader, process: Process, time_range: TimeRange | None = None) -> list[object]:
    rows = reader.rows(f"SELECT msg FROM view_instance('log_entries', '{process.process_id}')", time_range)
    return sorted(row["msg"] for row in rows)  # type: ignore[type-var]


def test_they_go_on_where_the_stream_ends(lake: Lake, reader: Reader) -> None:
    """Whatever their times; ranges find them, and nothing is lost between them."""
    ticks = random.Random(3).sample(range(1000), 100)
    process = _process(*ticks)
    ingest_process(lake, process)
    with patch.object(ingest, "MAX_SEGMENT_EVENTS", 30):
        for batch in _appended(process, list(range(0, 100, 7))):
            lake.ingest("blocks", batch)
    assert _messages(reader, process) == sorted(f"at {tick}" for tick in ticks)
    some = TimeRange(process.time_ns(200), process.time_ns(400))
    assert _messages(reader, process, some) == sorted(f"at {tick}" for tick in ticks if 200 <= tick <= 400)
    assert reader.messages == []
    blocks = reader.rows(f"SELECT * FROM blocks WHERE process_id = '{process.process_id}' ORDER BY object_offset")
    assert [row["object_offset"] for row in blocks] == [0, *range(7, 100, 7)]


def test_many_streams_at_once(lake: Lake, reader: Reader) -> None:
    """More than there was room for."""
    streams = [
        MomentStream(str(uuid.uuid4()), False, "", 1, (LogLine(i, _HERE, 3, f"at {i}"),), "log", None)
        for i in range(100)
    ]
    process = examples.process(*streams)
    ingest_process(lake, process)
    batch = block_batch([block for stream in streams for block in cut(stream, [])])
    lake.ingest("blocks", batch.drop_columns(["object_offset"]))
    assert len(_messages(reader, process)) == 100


def test_they_are_known_when_they_come_again(place: Place) -> None:
    """By their ids, to another server as well, among the last segments of their process; twice in a batch, too."""
    process = _process(*range(30))
    first, second, *others = _appended(process, list(range(0, 30, 3)))
    lake, other = place.open(), place.open()
    ingest_process(lake, process)
    lake.ingest("blocks", pa.concat_batches([first, first]))
    for batch in (second, first, *others):
        other.ingest("blocks", batch)
    lake.ingest("blocks", first)
    lake.ingest("blocks", second)
    assert len(_messages(Reader.of(lake), process)) == 30
    lake.close()
    with patch.object(open_history, "RECENT_SEGMENTS", 4):
        lake = place.open()
        lake.ingest("blocks", others[-1])
        assert len(_messages(Reader.of(lake), process)) == 30
        lake.ingest("blocks", first)
        assert len(_messages(Reader.of(lake), process)) == 33
    lake.close()
    other.close()


def test_servers_append_at_once(place: Place) -> None:
    """To one stream, and all of it is there."""
    process = _process(*range(100))
    batches = _appended(process, list(range(0, 100, 5)))
    lakes = [place.open(), place.open()]
    ingest_process(lakes[0], process)
    with ThreadPoolExecutor(4) as senders:
        list(senders.map(lambda i: lakes[i % 2].ingest("blocks", batches[i]), range(len(batches))))
    reader = Reader.of(lakes[0])
    assert len(_messages(reader, process)) == 100
    assert reader.messages == []
    for lake in lakes:
        lake.close()


def test_what_cannot_be_appended(lake: Lake) -> None:
    """Blocks of streams whose events have an order, and blocks that nothing tells apart."""
    process = _process(1)
    ingest_process(lake, process)
    (batch,) = _appended(process, [])
    with pytest.raises(InvalidTelemetry, match="expected an object_offset for every block, or a block_id"):
        lake.ingest("blocks", batch.drop_columns(["block_id"]))
    threads = examples.process(examples.thread(*calls(1)))
    ingest_process(lake, threads)
    spans = block_batch(cut(threads.streams[0], [])).drop_columns(["object_offset"])
    with pytest.raises(InvalidTelemetry, match="'object_offset' is missing"):
        lake.ingest("blocks", spans)
