"""A table whose rows come from elsewhere while DataFusion reads it.

DataFusion wraps a `pyarrow.dataset.Dataset` in a plan node of its own (`DatasetExec`) and touches only what is defined
here. It takes every simple filter to be applied by the dataset, and drops the iterator when it has rows enough.
"""

from collections.abc import Iterator, MutableSequence, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads

from udtf.sql.tables import TableKey, Tables, TableScan
from udtf.sql.worker.conditions import Filter, condition_of


class ServerTable(pads.Dataset):  # type: ignore[misc]
    """A table of one output partition.

    Attributes:
        planned: the scans that DataFusion has planned, appended to.
    """

    def __init__(self, key: TableKey, schema: pa.Schema, tables: Tables, planned: MutableSequence[TableScan]) -> None:
        # Not the base class's: a Dataset of C++ cannot be made here, nor is it needed.
        self._key = key
        self._own_schema = schema
        self._tables = tables
        self._planned = planned

    @property
    def schema(self) -> pa.Schema:
        return self._own_schema

    def get_fragments(self, filter: Filter | pa.Scalar | None = None) -> list["_Fragment"]:
        return [_Fragment(self)]

    def scanner(
        self, columns: Sequence[str] | None = None, filter: Filter | pa.Scalar | None = None, **_: Any
    ) -> "_Scanner":
        scan = self.scan(columns, filter)
        self._planned.append(scan)
        return _Scanner(self, scan)

    def scan(self, columns: Sequence[str] | None, filter: Filter | pa.Scalar | None) -> TableScan:
        """What is wanted of the table."""
        wanted = tuple(self._own_schema.names if columns is None else columns)
        return TableScan(self._key, wanted, None if filter is None else condition_of(filter))

    def batches(self, scan: TableScan) -> Iterator[pa.RecordBatch]:
        """The rows that are wanted."""
        return self._tables.scan(scan)


class _Fragment:
    def __init__(self, table: ServerTable) -> None:
        self._table = table

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: Filter | pa.Scalar | None = None,
        **_: Any,
    ) -> "_Scanner":
        return _Scanner(self._table, self._table.scan(columns, filter))


class _Scanner:
    def __init__(self, table: ServerTable, scan: TableScan) -> None:
        self._table = table
        self._scan = scan
        self.projected_schema = pa.schema([table.schema.field(name) for name in scan.columns])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._table.batches(self._scan)
