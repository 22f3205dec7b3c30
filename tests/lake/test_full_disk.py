"""A disk that fills up: what is there can be read, new telemetry is refused in words, and taken when there is room."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.model import examples
from tests.model.examples import begin, end
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.telemetry import Block, Process, cut
from udtf.errors import StoreFull
from udtf.lake.lake import Lake

DISK_BYTES = 8 << 20
NAME_BYTES = 200_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def endless(number: int) -> tuple[Process, list[Block]]:
    """A process of one thread, and so many blocks of it, each of a call whose name is long."""
    dice = random.Random(1)
    events = [
        event
        for at in range(number)
        for name in [dice.randbytes(NAME_BYTES // 2).hex()]
        for event in (begin(10 * at, name), end(10 * at + 5, name))
    ]
    stream = examples.thread(*events)
    return examples.process(stream), list(cut(stream, range(2, len(events), 2)))


def count(reader: Reader, process: Process) -> object:
    return reader.rows(f"SELECT count(*) AS n FROM process_spans('{process.process_id}', 'thread')")[0]["n"]


def test_a_full_disk_is_read_and_after_removal_written_again(small_disk: Path) -> None:
    """All that was acknowledged is there, before and after; partitions that cannot be stored are used."""
    lake = Lake.open(str(small_disk / "lake"))
    reader = Reader.of(lake)
    process, blocks = endless(100)
    ingest_process(lake, process)
    stored = 0
    with suppress(StoreFull):
        for block in blocks:
            ingest_blocks(lake, [block])
            stored += 1
    assert 8 < stored < len(blocks)
    assert count(reader, process) == stored
    with pytest.raises(StoreFull, match="no room left"):
        ingest_blocks(lake, [blocks[stored]])
    lake.removal.down_to(lake.metadata.upkeep.lake_bytes() // 2)
    ingest_blocks(lake, [blocks[stored]])
    left = count(reader, process)
    assert isinstance(left, int)
    assert 1 < left < stored
    lake.close()
