"""Which processes a filter of a table leaves, known before a row of the table is read.

A lake has many processes, and most statements ask about one: there is no need to read the blocks of all others.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

_OF_A_PROCESS = ("process_id", "exe")
_TESTS_FOR_NULL = ("is_null", "is_valid")


def processes_left(condition: pc.Expression, schema: pa.Schema, known: Callable[[], pa.Table]) -> frozenset[str] | None:
    """The processes of which rows may pass; None if all may, as far as is known.

    It is asked of rows that have what is known of a process and nothing else. To compare what is not known gives null,
    so what such a row does not pass, for certain, no row of that process does; but for conditions that ask for null
    themselves.

    Args:
        schema: of the table.
        known: makes a table of all processes, of some of its columns, `process_id` among them. It is only called for a
            condition that names a process.
    """
    text = str(condition)
    if not any(name in text for name in _OF_A_PROCESS) or any(test in text for test in _TESTS_FOR_NULL):
        return None
    processes = known()
    columns = [
        processes[field.name].cast(field.type)
        if field.name in processes.column_names
        else pa.nulls(processes.num_rows, field.type)
        for field in schema
    ]
    rows = pa.table(columns, schema.names)
    try:
        passed_by_none = rows.filter(~condition)["process_id"].to_pylist()
    except pa.ArrowException:
        return None  # The filter of the rows will say what is wrong.
    if not passed_by_none:
        return None
    return frozenset(processes["process_id"].to_pylist()).difference(passed_by_none)
