"""Single bits of a lake that flip: all answers stay true, or say that they are not, and the process lives."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from tests.model import examples
from tests.model.examples import calls, task_begin, task_end
from tests.model.lake import Reader, ingest_blocks, ingest_process
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Process, cut
from udtf.errors import UdtfError
from udtf.functions.perfetto_trace_chunks import PerfettoTraceChunks
from udtf.functions.process_spans import ProcessSpans
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.functions.table_function import Query, Rows
from udtf.functions.telemetry_tables import telemetry_tables
from udtf.functions.view_instance import ViewInstance
from udtf.lake.lake import Lake

NB_FLIPS = 10 * int(os.environ.get("TEST_EFFORT", "1"))
"""Each in a lake of its own, opened anew; TEST_EFFORT=40 flips 400 of each kind."""
SEED = 7
TABLES = {"segments": ("index", "blocks"), "rollups": ("index",)}


def make_lake(folder: Path) -> Process:
    """Two threads and tasks in ten uploads, of which eight are a stretch, with all partitions."""
    tasks = examples.tasks(
        *(task_begin(20 * i, i + 1) for i in range(20)), *(task_end(500 + i, i + 1) for i in range(20))
    )
    process = examples.process(*(examples.thread(*calls(20), name=f"t{i}") for i in range(2)), tasks)
    lake = Lake.open(str(folder))
    ingest_process(lake, process)
    cuts = [cut(stream, range(0, len(stream.events), len(stream.events) // 10)) for stream in process.streams]
    for upload in zip(*cuts, strict=True):
        ingest_blocks(lake, upload)
    Reader.of(lake).trace_bytes(process.process_id, "both", ALL_TIME)
    lake.close()
    with closing(sqlite3.connect(folder / "metadata.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return process


def _answers(folder: Path, process: Process) -> tuple[list[bytes], list[str]]:
    """All that can be asked, and what was told beside it. Whatever is an error of ours is an answer that says so."""
    answers: list[bytes] = []
    told: list[dict[str, object]] = []
    life = {"begin": ALL_TIME.begin_ns, "end": ALL_TIME.end_ns}
    try:
        lake = Lake.open(str(folder))
    except UdtfError as error:
        return [], [str(error)]
    # The functions themselves: the engine between them and SQL has no part in this.
    context = QueryContext(on_message=told.append)
    query = Query(lake, context, QuerySettings(), lake.metrics.tally())
    process_id, both = process.process_id, "both"
    plans: list[Callable[[], Rows]] = [
        lambda: PerfettoTraceChunks().plan(query, process_id=process_id, span_types=both, **life),
        lambda: ProcessSpans().plan(query, process_id=process_id, span_types=both),
        lambda: ViewInstance().plan(query, view_set="async_events", instance_id=process_id),
        lambda: telemetry_tables(lake)["blocks"],
    ]
    errors: list[str] = []
    for plan in plans:
        try:
            rows = plan()
            answers.append(_digest(pa.Table.from_batches(list(rows.batches()), rows.schema)))
        except UdtfError as error:
            errors.append(str(error))
    lake.close()
    return answers, errors + [str(message) for message in told if message["type"] != "progress"]


def _digest(table: pa.Table) -> bytes:
    """The rows in any order: which partition comes first is no matter of truth."""
    return json.dumps(sorted(map(str, table.to_pylist()))).encode()


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _damage_file(folder: Path, pattern: str, dice: random.Random) -> None:
    path = dice.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))
    data = path.read_bytes()
    path.write_bytes(_flipped(data, dice.randrange(8 * len(data))))


def _damage_segment(folder: Path, dice: random.Random) -> None:
    """Without partitions, as those would be read in its place."""
    _damage_file(folder, "segments/**/*", dice)
    with closing(sqlite3.connect(folder / "metadata.db")) as connection:
        connection.execute("DELETE FROM partitions")
        connection.commit()


def _damage_blob(folder: Path, dice: random.Random) -> None:
    table = dice.choice(sorted(TABLES))
    column = dice.choice(TABLES[table])
    with closing(sqlite3.connect(folder / "metadata.db")) as connection:
        rows = connection.execute(f'SELECT rowid, "{column}" FROM {table}').fetchall()
        row, data = dice.choice(rows)
        changed = _flipped(data, dice.randrange(8 * len(data)))
        connection.execute(f'UPDATE {table} SET "{column}" = ? WHERE rowid = ?', (changed, row))
        connection.commit()


def _damage_column(folder: Path, dice: random.Random) -> None:
    """A bit of a number or text in a row, as a database that does not notice would give it."""
    with closing(sqlite3.connect(folder / "metadata.db")) as connection:
        table = dice.choice(["processes", "streams", "histories", "segments", "rollups", "partitions"])
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        rows = connection.execute(f"SELECT rowid, * FROM {table}").fetchall()
        row = dice.choice(rows)
        column = dice.choice([i for i, value in enumerate(row[1:]) if isinstance(value, (int, str)) and value != ""])
        value = row[1 + column]
        if isinstance(value, int):
            changed: int | str = value ^ (1 << dice.randrange(40))
        else:
            place = dice.randrange(len(value))
            changed = value[:place] + chr(ord(value[place]) ^ (1 << dice.randrange(5))) + value[place + 1 :]
        connection.execute(f'UPDATE {table} SET "{names[column]}" = ? WHERE rowid = ?', (changed, row[0]))
        connection.commit()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "partition files": lambda folder, dice: _damage_file(folder, "views/**/*", dice),
    "segment objects": _damage_segment,
    "indexes and lists of blocks": _damage_blob,
    "other columns": _damage_column,
    "the database file": lambda folder, dice: _damage_file(folder, "metadata.db", dice),
}


def check(damage: str, folder: Path) -> Iterator[dict[str, object]]:
    """Flip one bit at a time in copies of a lake; what became of each."""
    process = make_lake(folder / "whole")
    shutil.copytree(folder / "whole", folder / "expected")
    expected, _ = _answers(folder / "expected", process)
    for number in range(NB_FLIPS):
        copy = folder / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder / "whole", copy)
        DAMAGES[damage](copy, random.Random(f"{SEED}-{number}"))
        answers, told = _answers(copy, process)
        if answers == expected:
            yield {"number": number, "outcome": "whole"}
        else:
            yield {"number": number, "outcome": "told" if told else "silent"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_flipped_bit_is_noticed_or_mended(damage: str, tmp_path: Path) -> None:
    """In a process of its own, as a reader that trusts damaged bytes may end it."""
    command = [sys.executable, "-m", __name__, damage, str(tmp_path)]
    with (tmp_path / "output").open("w+") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        output.seek(0)
        lines = output.read().splitlines()
    outcomes = [json.loads(line) for line in lines if line.startswith("{")]
    assert (code, len(outcomes)) == (0, NB_FLIPS), f"bit {len(outcomes)} ended the process:\n" + "\n".join(lines[-30:])
    counts = Counter(outcome["outcome"] for outcome in outcomes)
    assert [outcome for outcome in outcomes if outcome["outcome"] == "silent"] == []
    assert counts["told"] > 0 or damage == "partition files"


if __name__ == "__main__":
    for outcome in check(sys.argv[1], Path(sys.argv[2])):
        print(json.dumps(outcome), flush=True)
