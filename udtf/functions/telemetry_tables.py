"""Tables `processes`, `streams` and `blocks`: what the metadata database holds, as Arrow."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa

from udtf.functions.blocks_table import blocks_table
from udtf.functions.table_function import OfProcesses, Rows, rows_to_batch, shown_streams
from udtf.lake import schemas
from udtf.lake.lake import Lake
from udtf.lake.metadata import HistoryRow, ProcessRow, StreamRow

MAX_PROCESSES = 500
"""Most processes that are named to the database one by one."""


def telemetry_tables(lake: Lake) -> dict[str, Rows]:
    """The three tables by name."""

    def known() -> pa.Table:
        return pa.table({"process_id": pa.array(lake.metadata.process_ids(), pa.utf8())})

    def of_processes(name: str, process_ids: Collection[str]) -> Rows:
        # Each is named to the database, which has a limit.
        return (
            rows[name] if len(process_ids) > MAX_PROCESSES else _tables(lake.limited_to(frozenset(process_ids)))[name]
        )

    rows = _tables(lake)
    return {
        name: replace(each, of_processes=OfProcesses(known, partial(of_processes, name))) for name, each in rows.items()
    }


def _tables(lake: Lake) -> dict[str, Rows]:
    return {
        "processes": Rows(schemas.PROCESSES, lambda: map(_processes, lake.metadata.scan_processes())),
        "streams": Rows(schemas.STREAMS, lambda: map(_streams, lake.metadata.scan_streams())),
        "blocks": blocks_table(lake),
    }


def _streams(rows: Sequence[StreamRow]) -> pa.RecordBatch:
    return rows_to_batch(shown_streams(rows), schemas.STREAMS)


def _processes(rows: Sequence[tuple[ProcessRow, HistoryRow]]) -> pa.RecordBatch:
    described = pa.schema([field for field in schemas.PROCESSES if field.name not in schemas.PROCESS_HISTORY])
    batch = rows_to_batch([process for process, _ in rows], described)
    histories = [history for _, history in rows]
    columns = {
        "last_update_time": [max(process.update_time, history.update_time) for process, history in rows],
        "last_block_end_ticks": [history.last_end_ticks for history in histories],
        "last_block_end_time": [history.last_end_time for history in histories],
    }
    of_histories = [pa.array(columns[name], schemas.PROCESSES.field(name).type) for name in schemas.PROCESS_HISTORY]
    return pa.record_batch([*batch.columns, *of_histories], schema=schemas.PROCESSES)
