"""`flightsrv materialize`, as it is typed."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from flightsrv.cli import main
from tests.cli.conftest import FLIGHTSRV
from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import ingest_blocks, ingest_process
from tests.model.telemetry import Process, cut
from udtf.lake.lake import Lake


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [FLIGHTSRV, "materialize", "--lake", "lake", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def _recorded(lake: Lake) -> Process:
    process = examples.process(examples.thread(*calls(10)))
    ingest_process(lake, process)
    ingest_blocks(lake, cut(process.streams[0], []))
    return process


def test_it_makes_what_is_missing(tmp_path: Path) -> None:
    """Of all processes, by other processes, or of one; what is damaged is told, and holds nothing up."""
    lake = Lake.open(str(tmp_path / "lake"))
    *_, damaged = (_recorded(lake) for _ in range(3))
    [segment] = (tmp_path / "lake" / "segments" / damaged.process_id).iterdir()
    data = segment.read_bytes()
    segment.write_bytes(data[::-1])
    failed = _run(tmp_path, "--all", "--builders", "processes")
    assert (failed.returncode, failed.stdout) == (1, "Made 2 partitions.\n")
    assert f"thread_spans of process {damaged.process_id}: segment 0 " in failed.stderr
    segment.write_bytes(data)
    assert _run(tmp_path, damaged.process_id).stdout == "Made 1 partitions.\n"
    assert sum(len(rows) for rows in lake.metadata.partitions.scan()) == 3
    lake.close()


@pytest.mark.parametrize("arguments", [[], ["--all", "id"], ["--all", "--builders", "fibers"]])
def test_what_it_cannot_understand_is_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    """Neither ids nor --all, both, or no builders."""
    done = CliRunner().invoke(main, ["materialize", "--lake", str(tmp_path / "lake"), *arguments])
    assert done.exit_code == 2
    assert not (tmp_path / "lake").exists()
