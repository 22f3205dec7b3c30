"""The power goes at any step of ingestion, of a group commit, of a JIT update, of a removal, of packing: what was
acknowledged is there, once, and what is removed is gone whole.

TEST_EFFORT=100 kills at every step.
"""

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.killed import PACKED_SEGMENTS, work
from tests.model import examples
from tests.model.examples import at, begin, calls, task_begin, task_end
from tests.model.judge import assert_trace_is_model
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.places import Place, local_place
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block, Process, cut
from tests.model.trace_reader import read_trace
from tests.support.forked import FORKSERVER
from udtf.lake.lake import Lake
from udtf.views.catalog import kind_named

pytestmark = pytest.mark.slow

EFFORT = int(os.environ.get("TEST_EFFORT", "1"))

NB_UPLOADS = 9
"""Of each process: the eighth completes a stretch."""

_OPEN_CALL = (begin(0, "main"), *calls(160, 1))
"""A call that goes on, with a call of two spans every 20 ticks in it."""

_OPEN_CUTS = range(41, 641, 40)
"""Sixteen blocks of it, of twenty spans each; the outermost is in the first one as well."""

_HALF_NS = at(160 * 10)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    folder = tmp_path / "lake"
    folder.mkdir()
    if request.param == "postgresql":
        return local_place(folder, request.getfixturevalue("postgresql_url"))
    return local_place(folder, f"sqlite:///{tmp_path / 'metadata.db'}")


def _process() -> Process:
    tasks = examples.tasks(
        *(task_begin(20 * i, i + 1) for i in range(9)), *(task_end(500 + i, i + 1) for i in range(9))
    )
    return examples.process(*(examples.thread(*calls(18), name=f"worker {i}") for i in range(2)), tasks)


def _uploads(process: Process) -> list[list[Block]]:
    """One block of each stream at a time."""
    streams = [
        cut(stream, range(0, len(stream.events), len(stream.events) // NB_UPLOADS)) for stream in process.streams
    ]
    return [list(blocks) for blocks in zip(*streams, strict=True)]


def _run(
    place: Place,
    kill_at: int,
    task: str,
    uploads: Sequence[Sequence[Block]] = (),
    ids: Sequence[str] = (),
    older_than_ns: int = 0,
) -> list[int] | None:
    """The items that were acknowledged before the power went; None if all was done before."""
    reading, writing = FORKSERVER.Pipe(duplex=False)
    arguments = (kill_at, place.uri, place.db_url, task, uploads, ids, older_than_ns, writing)
    process = FORKSERVER.Process(target=work, args=arguments)
    process.start()
    writing.close()
    acknowledged: list[int] = []
    with suppress(EOFError):
        while True:
            acknowledged.append(reading.recv())
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return acknowledged if process.exitcode else None


def _kills(some: Sequence[int]) -> Sequence[int]:
    """At which steps the power goes: some of them, or with TEST_EFFORT each one up to the last of those."""
    return some if EFFORT == 1 else range(1, min(EFFORT, some[-1]) + 1)


def _stored(lake: Lake) -> list[object]:
    return [row["block_id"] for row in Reader.of(lake).rows("SELECT block_id FROM blocks")]


def _assert_whole(lake: Lake, process: Process, blocks: Sequence[Block]) -> bytes:
    data = Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)
    assert_trace_is_model(read_trace(data), process, blocks, "both", ALL_TIME)
    return data


@pytest.mark.parametrize("task", ["ingest", "ingest together"])
def test_uploads_of_a_sender_that_is_killed_are_whole_or_not_there(task: str, place: Place) -> None:
    """Each acknowledged one is there; sending all again stores each once. At every step of some uploads."""
    lake = place.open()
    survived = 0
    for kill_at in _kills((2, 5, 6, 97)):
        processes = [_process(), _process()]
        for process in processes:
            ingest_process(lake, process)
        of_each = [_uploads(process) for process in processes]
        uploads = [upload for pair in zip(*of_each, strict=True) for upload in pair]
        acknowledged = _run(place, kill_at, task, uploads)
        survived += acknowledged is None
        stored = set(_stored(lake))
        for number, upload in enumerate(uploads):
            there = {block.block_id for block in upload} & stored
            assert len(there) in (0, len(upload)), "half an upload"
            assert there or (acknowledged is not None and number not in acknowledged), "an upload is lost"
        for process, its in zip(processes, of_each, strict=True):
            _assert_whole(lake, process, [block for upload in its for block in upload if block.block_id in stored])
        for upload in uploads:
            ingest_blocks(lake, upload)
        for process, its in zip(processes, of_each, strict=True):
            _assert_whole(lake, process, [block for upload in its for block in upload])
    assert len(_stored(lake)) == len(set(_stored(lake)))
    assert survived == 0
    lake.close()


def test_a_reader_that_is_killed_leaves_nothing_that_is_believed(place: Place) -> None:
    """Traces after it are those of a lake that knew no trouble, and each visible partition has its file."""
    lake = place.open()
    processes = [_process() for _ in range(4)]
    uploads = []
    for process in processes:
        ingest_process(lake, process)
        uploads += _uploads(process)
    for upload in uploads:
        ingest_blocks(lake, upload)
    killed = 0
    for kill_at in _kills((7, 12, 18)):
        ids = [process.process_id for process in processes]
        killed += _run(place, kill_at, "trace", ids=ids) is not None
    assert killed > 1
    for process in processes:
        blocks = [block for stream in process.streams for block in cut(stream, [])]
        data = _assert_whole(lake, process, blocks)
        assert Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME) == data
    paths = [row["path"] for row in Reader.of(lake).rows("SELECT path FROM list_partitions()")]
    assert len(set(paths)) == len(paths) > 0
    assert set(map(str, paths)) <= set(place.parquet_files())
    lake.close()


def _spans(lake: Lake, process: Process) -> list[dict[str, object]]:
    sql = f"SELECT name, begin FROM process_spans('{process.process_id}', 'both') ORDER BY begin, name"
    return Reader.of(lake).rows(sql)


def test_a_removal_that_is_killed_removes_all_or_nothing(place: Place) -> None:
    """Half of a process that goes on: its spans are those before or those after, and no object is left behind."""
    lake = place.open()
    outcomes = set()
    before: list[dict[str, object]] = []
    after: list[dict[str, object]] = []
    for kill_at in (1 << 30, *_kills((4, 7, 16))):
        process = examples.process(examples.thread(*_OPEN_CALL))
        ingest_process(lake, process)
        for block in cut(process.streams[0], _OPEN_CUTS):
            ingest_blocks(lake, [block])
        all_spans = _spans(lake, process)
        done = _run(place, kill_at, "remove", older_than_ns=_HALF_NS)
        spans = _spans(lake, process)
        if kill_at == 1 << 30:
            assert done is None
            before, after = all_spans, spans
            assert 0 < len(after) < len(before)
        assert spans in (before, after)
        outcomes.add(len(spans))
        lake.removal.older_than(_HALF_NS)
        assert _spans(lake, process) == after
        assert lake.removal.delete_orphans(time.time() + 7200) == 0
    assert outcomes == {len(before), len(after)}
    lake.close()


def test_packing_that_is_killed_loses_nothing(place: Place) -> None:
    """Segments are where they were or in a pack; what was left undone is done the next time."""
    lake = place.open()
    places = set()
    killed = 0
    for kill_at in _kills((20, 25, 40)):
        process = examples.process(examples.thread(*calls(20 * PACKED_SEGMENTS)))
        ingest_process(lake, process)
        blocks = cut(process.streams[0], [40 * number for number in range(1, PACKED_SEGMENTS)])
        for block in blocks:
            ingest_blocks(lake, [block])
        killed += _run(place, kill_at, "pack") is not None
        segments = lake.metadata.segments(process.process_id, range(PACKED_SEGMENTS))
        places.add(len({segment.object_key for segment in segments}))
        _assert_whole(lake, process, blocks)
        lake.retire(kind_named("thread_spans"), process.process_id, ALL_TIME)
        assert _run(place, 1 << 30, "pack") is None
        lake.removal.delete_orphans(time.time() + 7200)
        assert len([path for path in place.segments() if process.process_id in path]) == 1
        _assert_whole(lake, process, blocks)
        # Packing asks every process of the lake what there is to pack: with more of them, steps would mean others.
        lake.removal.delete(process.process_id)
    assert killed > 1
    assert places == {1, PACKED_SEGMENTS}
    lake.close()


def test_two_servers_of_which_one_removes_lose_nothing_else(place: Place) -> None:
    """While one takes uploads of a process and shows it, the other one removes what is old of it."""
    with closing(place.open()) as one, closing(place.open()) as other:
        process = examples.process(examples.thread(*_OPEN_CALL))
        ingest_process(one, process)
        blocks = cut(process.streams[0], _OPEN_CUTS)
        for number, block in enumerate(blocks):
            ingest_blocks(one if number % 3 else other, [block])
            other.removal.older_than(at(200 * (number - 5)))
            spans = _spans(one, process)
            assert _spans(other, process) == spans
            assert spans[0] == {"name": "main", "begin": at(0)}
            first = one.metadata.history(process.process_id).first_segment
            assert len(spans) == 1 + 20 * (number + 1 - first)
        assert first == 8


@pytest.mark.parametrize("turns", ["alternately", "at once"])
def test_two_servers_that_ingest_one_process_lose_and_double_nothing(turns: str, place: Place) -> None:
    """Each knows where streams end from the other's uploads."""
    with closing(place.open()) as one, closing(place.open()) as other:
        process = _process()
        ingest_process(one, process)
        uploads = _uploads(process)
        # Streams of their own for each server, as senders keep the order of theirs.
        halves = [
            [block for upload in uploads for block in upload if block.stream is stream]
            for stream in process.streams[:2]
        ]
        sent = [block for half in halves for block in half]
        if turns == "alternately":
            for pair in zip(*halves, strict=True):
                for lake, block in zip((one, other), pair, strict=True):
                    ingest_blocks(lake, [block])
        else:
            with ThreadPoolExecutor(2) as pool:
                send = lambda lake, half: [ingest_blocks(lake, [block]) for block in half]  # noqa: E731
                list(pool.map(send, (one, other), halves))
        for lake in (one, other):
            assert sorted(map(str, _stored(lake))) == sorted(block.block_id for block in sent)
            _assert_whole(lake, process, sent)
        assert one.metadata.history(process.process_id).nb_segments == len(sent)
        assert len(place.segments()) == len(sent)


def test_two_processes_that_ingest_one_process_at_once_store_it_once(place: Place) -> None:
    """The same uploads, sent by both."""
    lake = place.open()
    process = _process()
    ingest_process(lake, process)
    uploads = _uploads(process)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: _run(place, 1 << 30, "ingest", uploads), range(2)))
    assert done == [None, None]
    blocks = [block for upload in uploads for block in upload]
    assert sorted(map(str, _stored(lake))) == sorted(block.block_id for block in blocks)
    assert len(place.segments()) == len(uploads)
    _assert_whole(lake, process, blocks)
    lake.close()
