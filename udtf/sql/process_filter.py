"""Which processes a filter of a table leaves, known before a row of the table is read.

A lake has many processes, and most statements ask about one: there is no need to read the blocks of all others.
"""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

_TESTS_FOR_NULL = ("is_null", "is_valid")


def processes_left(condition: pc.Expression, schema: pa.Schema, process_ids: Collection[str]) -> frozenset[str] | None:
    """The processes of which rows may pass; None if that is not known.

    It is asked of rows that have a process id and nothing else. To compare what is not known gives null, so what such a
    row does not pass, for certain, no row of that process does; but for conditions that ask for null themselves.

    Args:
        schema: of the table; it has a column `process_id`.
    """
    text = str(condition)
    if "process_id" not in text or any(test in text for test in _TESTS_FOR_NULL):
        return None
    ids = pa.array(process_ids, pa.utf8())
    columns = [ids if field.name == "process_id" else pa.nulls(len(ids), field.type) for field in schema]
    rows = pa.table(columns, schema.names)
    try:
        passed_by_none = rows.filter(~condition)["process_id"].to_pylist()
    except pa.ArrowException:
        return None  # whoever filters the rows will say what is wrong
    return frozenset(process_ids).difference(passed_by_none)
