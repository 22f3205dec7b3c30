"""Partitions that other processes build are those that threads build, whatever happens to these processes."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from tests.model import examples
from tests.model.examples import calls, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from tests.support.waiting import wait_until
from udtf.errors import StoreRefused
from udtf.execution import elsewhere
from udtf.execution.elsewhere import Elsewhere, NotDone
from udtf.lake import lake as lake_module
from udtf.lake.builds import build_at, build_version
from udtf.lake.history import StretchKey
from udtf.lake.lake import Lake
from udtf.lake.settings import LakeSettings
from udtf.lake.time_range import ALL_TIME as ALWAYS
from udtf.sql.engine import QueryEngine
from udtf.views.catalog import kinds_of_spans

NB_PROCESSES = 4
UPLOADS = 3


def _process(number: int) -> Process:
    threads = (examples.thread(*calls(30 + number), name=f"worker {i}") for i in range(3))
    return examples.process(*threads, examples.tasks(task_begin(1, 1), task_begin(2, 2), task_end(5, 1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builders") / "lake"


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, bytes]:
    """A lake of some processes: their traces, by id, as threads make them. Nothing is materialized afterwards."""
    lake = Lake.open(str(folder))
    traces = {}
    for process in map(_process, range(NB_PROCESSES)):
        ingest_process(lake, process)
        for upload in range(UPLOADS):
            ingest_blocks(lake, [cut(stream, [1, 2])[upload] for stream in process.streams])
        traces[process.process_id] = _trace(Reader.of(lake), process.process_id)
    _make_cold(lake)
    lake.close()
    return traces


def _trace(reader: Reader, process_id: str) -> bytes:
    trace = reader.trace_bytes(process_id, "both", ALL_TIME)
    assert reader.messages == []
    return trace


def _make_cold(lake: Lake) -> None:
    for process_id in lake.metadata.process_ids():
        for kind in kinds_of_spans("both"):
            lake.retire(kind, process_id, ALWAYS)


def _open(folder: Path, builders: str) -> Lake:
    lake = Lake.open(str(folder), settings=LakeSettings(builders=builders))
    _make_cold(lake)
    return lake


def _ready(lake: Lake) -> Elsewhere:
    assert lake.elsewhere is not None
    assert lake.elsewhere.wait_until_ready(60)
    return lake.elsewhere


def _traces(lake: Lake, expected: dict[str, bytes]) -> dict[str, bytes]:
    """Those of all processes, some at once."""
    engine = QueryEngine(lake)
    with ThreadPoolExecutor(2) as threads:
        made = threads.map(lambda process_id: _trace(Reader(engine), process_id), expected)
        return dict(zip(expected, made, strict=True))


def _nb_partitions(lake: Lake) -> int:
    rows = [row for rows in lake.metadata.partitions.scan() for row in rows]
    keys = {(row.process_id, row.view_set, row.first_segment, row.nb_segments) for row in rows}
    assert len(keys) == len(rows)
    return len(rows)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A Dask scheduler, and two workers with processes of their own."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR) as started:
        yield started


def _builders_of(cluster: LocalCluster) -> str:
    return str(cluster.scheduler_address).replace("tcp://", "dask://")


@pytest.fixture(params=["processes", "dask"])
def lake(folder: Path, expected: dict[str, bytes], request: pytest.FixtureRequest) -> Iterator[Lake]:
    """The lake, with nothing materialized, whose builders are ready."""
    builders = request.param
    if builders == "dask":
        builders = _builders_of(request.getfixturevalue("cluster"))
    opened = _open(folder, builders)
    _ready(opened)
    yield opened
    opened.close()


def test_traces_are_the_same_and_others_have_built_them(lake: Lake, expected: dict[str, bytes]) -> None:
    """This process writes no file; the next traces find them."""
    assert _traces(lake, expected) == expected
    nb_partitions = _nb_partitions(lake)
    assert nb_partitions >= 2 * NB_PROCESSES
    assert lake.objects.statistics().written_bytes == 0
    assert _traces(lake, expected) == expected
    assert _nb_partitions(lake) == nb_partitions


def test_workers_that_are_killed_cost_nothing_but_time(lake: Lake, expected: dict[str, bytes]) -> None:
    """Whatever they were doing is done by others, or here."""
    builders = _ready(lake)
    killed: set[int] = set()

    def kill_one() -> None:
        with suppress(NotDone):
            pid = builders.run(os.getpid)
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    kill_one()  # before anything is built
    for _ in range(2):
        with ThreadPoolExecutor(1) as threads:
            killing = threads.submit(kill_one)
            assert _traces(lake, expected) == expected
            killing.result()
        assert _nb_partitions(lake) >= 2 * NB_PROCESSES
        _make_cold(lake)
    assert killed
    assert os.getpid() not in killed
    wait_until(lambda: _can_build(builders))
    written_bytes = lake.objects.statistics().written_bytes
    assert _traces(lake, expected) == expected
    assert lake.objects.statistics().written_bytes == written_bytes


def _can_build(builders: Elsewhere) -> bool:
    try:
        return builders.run(os.getpid) != os.getpid()
    except NotDone:
        return False


def test_what_another_version_would_build_is_built_here(
    lake: Lake,
    folder: Path,
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Which the log tells, once."""
    assert lake.address is not None
    monkeypatch.setattr(lake_module, "build_version", lambda: "0.0.1")
    other = Lake.open(str(folder), settings=lake.address.settings)
    _ready(other)
    assert _traces(other, expected) == expected
    other.close()
    assert other.objects.statistics().written_bytes > 0
    warnings = [record.getMessage() for record in caplog.records if "its work is done here" in record.getMessage()]
    assert len(warnings) == 1
    assert "cannot build for version 0.0.1" in warnings[0]


def test_a_cluster_that_is_away_is_done_without(
    folder: Path, expected: dict[str, bytes], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start, or when it goes in the middle of cold traces; and it is used again when it is back."""
    monkeypatch.setattr(elsewhere, "RETRY_S", 0.2)
    monkeypatch.setattr(elsewhere, "CONNECT_S", 2.0)
    in_this_process = {
        "processes": False,
        "protocol": "tcp",
        "n_workers": 1,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
    }
    cluster = LocalCluster(**in_this_process)
    lake = _open(folder, _builders_of(cluster))
    builders = _ready(lake)
    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(cluster.close)
        assert _traces(lake, expected) == expected
        closing.result()
    _make_cold(lake)
    assert _traces(lake, expected) == expected
    _make_cold(lake)
    wait_until(lambda: not builders.wait_until_ready(0))
    assert any("its work is done here" in record.getMessage() for record in caplog.records)
    port = int(_builders_of(cluster).rpartition(":")[2])
    with LocalCluster(scheduler_port=port, **in_this_process):
        assert builders.wait_until_ready(60)
        written_bytes = lake.objects.statistics().written_bytes
        assert _traces(lake, expected) == expected
        assert lake.objects.statistics().written_bytes == written_bytes
    lake.close()


def test_a_damaged_segment_is_told_as_it_is_without_builders(
    folder: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """It is no matter of where the build is done."""
    assert expected
    traces = []
    copy = tmp_path / "lake"
    shutil.copytree(folder, copy)
    damaged = sorted(copy.glob("segments/*/*"))[0]
    damaged.write_bytes(damaged.read_bytes()[::-1])
    for builders in ("threads", "processes"):
        lake = _open(copy, builders)
        if lake.elsewhere is not None:
            _ready(lake)
        reader = Reader.of(lake)
        trace = reader.trace_bytes(damaged.parent.name, "both", ALL_TIME)
        traces.append((trace, [message["type"] for message in reader.messages]))
        lake.close()
    assert traces[0] == traces[1]
    assert "thread_failed" in traces[0][1]


ORPHANED = """
import os, sys
from udtf.lake.lake import Lake
from udtf.lake.settings import LakeSettings

if __name__ == "__main__":
    lake = Lake.open(sys.argv[1], settings=LakeSettings(builders="processes"))
    lake.elsewhere.wait_until_ready(60)
    print(lake.elsewhere.run(os.getpid), flush=True)
    sys.stdin.read()
"""


def test_workers_end_with_the_process_that_they_build_for(tmp_path: Path) -> None:
    """However that ends."""
    (tmp_path / "program.py").write_text(ORPHANED)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "lake")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        worker = int(program.stdout.readline())
        assert psutil.pid_exists(worker)
        program.kill()
    wait_until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)


def test_a_worker_makes_no_lake_where_there_is_none(tmp_path: Path) -> None:
    """A folder that it does not have is that of another machine."""
    lake = Lake.open(str(tmp_path / "lake"))
    assert lake.address is not None
    process = _process(0)
    ingest_process(lake, process)
    row, history = lake.metadata.process_and_history(process.process_id)
    elsewhere_address = replace(lake.address, uri=str(tmp_path / "other"))
    with pytest.raises(StoreRefused, match="not on this machine"):
        build_at(elsewhere_address, build_version(), "thread_spans", row, history, StretchKey(1, 0), "")
    assert not (tmp_path / "other").exists()
    lake.close()


@pytest.mark.parametrize("builders", ["fibers", "dask://", "dask://host", "tcp://host:1", ""])
def test_builders_are_named_exactly(builders: str) -> None:
    """What cannot be meant is refused at once."""
    with pytest.raises(ValueError, match="builders must be threads, processes or dask://host:port"):
        LakeSettings(builders=builders)
