"""`flightsrv export`, as it is typed."""

from pathlib import Path

import duckdb
from click.testing import CliRunner, Result

from flightsrv.cli import main
from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import ingest_blocks, ingest_process
from tests.model.telemetry import cut
from udtf.lake.lake import Lake


def _run(folder: Path, *arguments: str) -> Result:
    command = ["export", "--lake", str(folder / "lake"), "--to", str(folder / "dataset"), *arguments]
    return CliRunner().invoke(main, command)


def test_it_says_what_it_has_written(tmp_path: Path) -> None:
    """A line; and one on standard error for what it cannot do."""
    lake = Lake.open(str(tmp_path / "lake"))
    for _ in range(2):
        process = examples.process(examples.thread(*calls(10)))
        ingest_process(lake, process)
        ingest_blocks(lake, cut(process.streams[0], []))
    lake.close()
    one = _run(tmp_path, process.process_id, "--table", "spans")
    assert (one.exit_code, one.stderr) == (0, "")
    assert one.stdout.startswith("Exported 1 files, 20 rows, ")
    assert _run(tmp_path).stdout.startswith("Exported 1 files, 20 rows, ")
    assert _run(tmp_path).stdout == "Exported nothing: there is nothing new.\n"
    assert _run(tmp_path, "--last", "1s").stdout == "Exported nothing: there is nothing new.\n"
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/dataset/spans/**/*.parquet'").fetchall() == [(40,)]
    unknown = _run(tmp_path, "no-such-process")
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: process 'no-such-process' is unknown\n")
    wrong = _run(tmp_path, "--table", "blocks")
    assert wrong.exit_code == 2
    assert "'blocks' is none of spans, log_entries, measures" in wrong.stderr
