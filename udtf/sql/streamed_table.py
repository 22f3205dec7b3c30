"""A table whose rows come from a Python generator while DataFusion reads it.

DataFusion wraps a `pyarrow.dataset.Dataset` in a plan node of its own (`DatasetExec`) and touches only what is defined
here. It takes every simple filter to be applied by the dataset, and drops the generator when it has rows enough.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

Batches = Callable[[], Iterator[pa.RecordBatch]]


class StreamedTable(pads.Dataset):  # type: ignore[misc]
    """A table of one output partition, in the order in which `batches` gives its rows."""

    def __init__(self, schema: pa.Schema, batches: Batches) -> None:
        # Not the base class's: a Dataset of C++ cannot be made here, nor is it needed.
        self._streamed_schema = schema
        self._batches = batches

    @property
    def schema(self) -> pa.Schema:
        return self._streamed_schema

    def get_fragments(self, filter: pc.Expression | None = None) -> list["_Fragment"]:
        return [_Fragment(self)]

    def scanner(
        self, columns: Sequence[str] | None = None, filter: pc.Expression | None = None, **_: Any
    ) -> "_Scanner":
        return _Scanner(self._streamed_schema, self._batches, columns, filter)


class _Fragment:
    def __init__(self, table: StreamedTable) -> None:
        self._table = table

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
        **_: Any,
    ) -> "_Scanner":
        return self._table.scanner(columns, filter)


class _Scanner:
    def __init__(
        self, schema: pa.Schema, batches: Batches, columns: Sequence[str] | None, filter: pc.Expression | None
    ) -> None:
        self._batches = batches
        self._columns = list(schema.names if columns is None else columns)
        self._filter = filter
        self.projected_schema = pa.schema([schema.field(name) for name in self._columns])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches():
            if self._filter is None:
                yield batch.select(self._columns)
            else:
                kept = pa.Table.from_batches([batch]).filter(self._filter).select(self._columns)
                yield from kept.combine_chunks().to_batches()
