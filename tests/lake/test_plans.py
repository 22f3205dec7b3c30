"""No statement walks a large table to find a few of its rows."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event

from udtf.lake.history import StretchKey, completed_by
from udtf.lake.metadata import (
    Growth,
    HistoryRow,
    MetadataStore,
    PartitionRow,
    ProcessRow,
    SegmentRow,
    StreamRow,
    StretchRow,
)
from udtf.lake.metadata.partition_rows import PartitionRows
from udtf.lake.metadata.tables import TABLES
from udtf.lake.metadata.upkeep import Upkeep
from udtf.lake.sealed import join_parts, seal
from udtf.lake.time_range import TimeRange

NB_PROCESSES = 100
NB_SEGMENTS = 250 * int(os.environ.get("TEST_EFFORT", "1"))
"""Of each process, each with a partition; with TEST_EFFORT=4 there are 100,000 in all."""
LARGE = ("segments", "rollups", "partitions", "streams", "garbage")

Call = Callable[[MetadataStore], object]

INDEX = seal(join_parts({}))
PROCESS = "process-50"
HISTORY = HistoryRow(PROCESS, 1, 0, NB_SEGMENTS, 0, 0, NB_SEGMENTS, 1)


def _process(process_id: str = PROCESS) -> ProcessRow:
    return ProcessRow(process_id, None, None, None, None, None, None, 10**9, 0, 0, 1, None, {}, 1)


def _stream(process_id: str, number: int) -> StreamRow:
    return StreamRow(f"{process_id}-{number}", process_id, ["thread"], {}, "arrow-v1", 1, 1)


def _segment(process_id: str, number: int) -> SegmentRow:
    key = f"segments/{process_id}/{number}"
    return SegmentRow(process_id, number, number, number + 1, 1, "hash", key, 0, 1, 1, INDEX, INDEX)


def _stretch(process_id: str, key: StretchKey) -> StretchRow:
    return StretchRow(
        process_id, key.nb_segments, key.first_segment, key.first_segment, key.end_segment, 1, "hash", INDEX
    )


def _partition(process_id: str, number: int, name: str = "partition") -> PartitionRow:
    identity = f"{name}-{process_id}-{number}"
    return PartitionRow(
        identity,
        "thread_spans",
        process_id,
        number,
        1,
        number,
        number + 1,
        1,
        1,
        f"views/{identity}",
        "hash",
        "hash",
        1,
    )


def _fill(url: str) -> None:
    """Rows of many processes, in bulk."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for number in range(NB_PROCESSES):
            process_id = f"process-{number}"
            stretches = [key for segment in range(NB_SEGMENTS) for key in completed_by(segment)]
            rows: dict[str, list[Any]] = {
                "processes": [_process(process_id)],
                "histories": [replace(HISTORY, process_id=process_id)],
                "streams": [_stream(process_id, stream) for stream in range(50)],
                "segments": [_segment(process_id, segment) for segment in range(NB_SEGMENTS)],
                "rollups": [_stretch(process_id, key) for key in stretches],
                "partitions": [_partition(process_id, segment) for segment in range(NB_SEGMENTS)],
            }
            for table, values in rows.items():
                connection.execute(sa.insert(TABLES.tables[table]), [row.to_database() for row in values])
        keys = [{"object_key": f"segments/gone/{number}", "removed_time": 1} for number in range(10_000)]
        connection.execute(sa.insert(TABLES.tables["garbage"]), keys)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _moved() -> tuple[list[SegmentRow], list[SegmentRow]]:
    """Some segments of a process before and after they are moved."""
    before = [_segment(PROCESS, number) for number in range(16, 24)]
    return before, [replace(row, object_key="segments/pack") for row in before]


CALLS: dict[str, Call] = {
    "put_processes": lambda store: store.put_processes([_process(), _process("new")]),
    "put_streams": lambda store: store.put_streams([_stream(PROCESS, 0), _stream(PROCESS, 99)]),
    "grow": lambda store: store.grow(
        [Growth(replace(HISTORY, nb_segments=NB_SEGMENTS + 1), [_segment(PROCESS, NB_SEGMENTS)], [])]
    ),
    "streams_of_ids": lambda store: store.streams_of_ids([f"{PROCESS}-1", f"{PROCESS}-2"]),
    "known_process_ids": lambda store: store.known_process_ids([PROCESS, "unknown"]),
    "process": lambda store: store.process(PROCESS),
    "process_and_history": lambda store: store.process_and_history(PROCESS),
    "processes_of_ids": lambda store: store.processes_of_ids([PROCESS, "process-51"]),
    "history": lambda store: store.history(PROCESS),
    "stream": lambda store: store.stream(f"{PROCESS}-1"),
    "streams_of": lambda store: [store.streams_of(PROCESS), store.streams_of(PROCESS, f"{PROCESS}-1")],
    "stretches": lambda store: store.stretches(PROCESS, [(8, 0), (8, 8), (8, 80), (64, 0), (1, 5), (1, 200)]),
    "segments": lambda store: store.segments(PROCESS, [*range(10, 20), 200]),
    "check_history": lambda store: store.check_history(HISTORY),
    "of": lambda store: store.partitions.of(PROCESS, "thread_spans", [10, 11, 90]),
    "commit": lambda store: store.partitions.commit([_partition(PROCESS, 7, "new")], 1),
    "retire": lambda store: store.partitions.retire("thread_spans", PROCESS, TimeRange(100, 110), 1),
    "forget": lambda store: store.partitions.forget(_partition(PROCESS, 20), 1),
    "remove_process": lambda store: store.upkeep.remove_process("process-60", 1),
    "remove_segments": lambda store: store.upkeep.remove_segments(
        replace(HISTORY, process_id="process-61"), 64, [StretchKey(64, 0)], 1
    ),
    "unpacked_stretches": lambda store: store.upkeep.unpacked_stretches(PROCESS, 64, 1 << 20),
    "move_segments": lambda store: store.upkeep.move_segments(*_moved(), 1),
    "known_keys": lambda store: store.upkeep.known_keys(
        ["segments/process-50/5", "views/partition-process-50-5", "other"]
    ),
    "garbage": lambda store: store.upkeep.garbage(10, 2),
    "deleted": lambda store: store.upkeep.deleted(["segments/gone/1", "segments/gone/2"]),
}

READ_EVERYTHING = {
    "process_ids",
    "lake_bytes",
    "oldest_history",
    "histories_ending_before",
    "histories_beginning_before",
}
"""What looks at every process by its nature, for removal; none of it is asked while telemetry is sent or read."""

NO_STATEMENTS = {"limited_to", "close", "is_visible"}


def test_every_method_of_the_store_is_asked() -> None:
    """A new one must be added here, or say why it walks a whole table."""
    classes = (MetadataStore, PartitionRows, Upkeep)
    attributes = [item for each in classes for item in vars(each).items()]
    methods = {name for name, value in attributes if callable(value) and not name.startswith("_")}
    scans = {name for name in methods if name.startswith("scan")}
    assert methods - scans - READ_EVERYTHING - NO_STATEMENTS == set(CALLS)


@dataclass(frozen=True)
class _Asked:
    method: str
    statement: str
    parameters: Any


def _statements(store: MetadataStore) -> Iterator[_Asked]:
    """All statements of all methods, each asked once."""
    for method, call in CALLS.items():
        asked: list[_Asked] = []

        def note(
            _c: Any, _u: Any, statement: str, parameters: Any, *_: Any, asked: Any = asked, by: Any = method
        ) -> None:
            asked.append(_Asked(by, statement, parameters))

        event.listen(Engine, "before_cursor_execute", note)
        try:
            call(store)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        yield from {each.statement: each for each in asked}.values()


def _explained(connection: sa.Connection, asked: _Asked, explain: str) -> str:
    parameters = asked.parameters[0] if isinstance(asked.parameters, list) else asked.parameters
    rows = connection.exec_driver_sql(f"{explain} {asked.statement}", parameters).fetchall()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_statements_find_rows_by_an_index(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With a hundred thousand segments and partitions of a hundred processes."""
    if database == "postgresql":
        url, explain, walks = request.getfixturevalue("postgresql_url"), "EXPLAIN", r"Seq Scan on (\w+)"
    else:
        url, explain, walks = f"sqlite:///{tmp_path / 'metadata.db'}", "EXPLAIN QUERY PLAN", r"SCAN (\w+)(?! USING)"
    with closing(MetadataStore(url)) as store:
        _fill(url)
        asked = [each for each in _statements(store) if re.match("SELECT|INSERT|UPDATE|DELETE", each.statement)]
    assert {each.method for each in asked} == set(CALLS)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        plans = [(each, _explained(connection, each, explain)) for each in asked]
    engine.dispose()
    walked = [
        f"{each.method}: {table}\n{each.statement}\n{plan}"
        for each, plan in plans
        for table in re.findall(walks, plan)
        if table in LARGE
    ]
    assert walked == []
    assert any("partitions" in plan for _, plan in plans)
