"""Events of one kind of telemetry as Arrow columns, whatever the kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.attributes import attributes_of, none, with_attributes
from udtf.lake.schemas import ATTRIBUTES
from udtf.lake.scopes import NO_SCOPES, ScopeTable, hashed, merged

SCOPE = "scope"
"""The column of an event that says where in the source it comes from; not every kind of telemetry has it."""

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """Columns of equal length. In `rows`, the column `scope` holds codes into `scopes`; there is a column `attributes`
    only if some of the events have attributes."""

    rows: pa.RecordBatch
    scopes: ScopeTable = NO_SCOPES

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers, without a copy."""
        return np.asarray(self.rows.column(name).to_numpy())

    @property
    def attributes(self) -> pa.BinaryArray | None:
        """Those of each event; None if none has any."""
        return attributes_of(self.rows)

    def take(self, positions: Int64s) -> "Events":
        """The events at these positions, in their order."""
        return Events(self.rows.take(pa.array(positions)), self.scopes)

    def compact(self) -> "Events":
        """The same, with no scopes but those that are used, and attributes only if there are some."""
        rows = _bare(self.rows)
        return Events(with_attributes(rows, self.attributes), self.scopes)._with_used_scopes()

    def _with_used_scopes(self) -> "Events":
        if SCOPE not in self.rows.schema.names:
            return self
        codes = self.column(SCOPE)
        used = np.flatnonzero(np.bincount(codes, minlength=len(self.scopes)))
        if len(used) == len(self.scopes):
            return self
        code_of = np.zeros(len(self.scopes), np.int32)
        code_of[used] = np.arange(len(used), dtype=np.int32)
        return Events(_with_codes(self.rows, code_of[codes]), self.scopes.take(used))


def concatenate(parts: Sequence[Events]) -> Events:
    """The events of some parts, one at least, end to end; each scope once, in order of first appearance."""
    if len(parts) == 1:
        return parts[0]
    scopes, code_maps = merged([part.scopes for part in parts])
    batches = [part.rows for part in parts]
    if SCOPE in batches[0].schema.names:
        batches = [
            _with_codes(part.rows, codes[part.column(SCOPE)]) for part, codes in zip(parts, code_maps, strict=True)
        ]
    return Events(pa.concat_batches(_alike(batches)), scopes)


def from_struct(values: pa.StructArray) -> Events:
    """Events from a column of structs in which scopes are dictionary-encoded, as an upload has them."""
    columns = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
    attributes = columns.pop(ATTRIBUTES.name, None)
    if SCOPE not in columns:
        return Events(with_attributes(pa.RecordBatch.from_pydict(columns), attributes))
    encoded: pa.DictionaryArray = columns[SCOPE]
    scopes, (code_of,) = merged([hashed(encoded.dictionary)])
    columns[SCOPE] = pa.array(code_of[encoded.indices.to_numpy()], pa.int32())
    return Events(with_attributes(pa.RecordBatch.from_pydict(columns), attributes), scopes)


def _alike(batches: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
    """The same, with a column of attributes in all, at the end, if one of them has any."""
    attributes = [attributes_of(batch) for batch in batches]
    if all(column is None for column in attributes):
        return batches
    return [
        _bare(batch).append_column(ATTRIBUTES, none(len(batch)) if column is None else column)
        for batch, column in zip(batches, attributes, strict=True)
    ]


def _bare(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Without attributes."""
    names = batch.schema.names
    return batch.select([name for name in names if name != ATTRIBUTES.name]) if ATTRIBUTES.name in names else batch


def _with_codes(rows: pa.RecordBatch, codes: npt.NDArray[np.int32]) -> pa.RecordBatch:
    return rows.set_column(rows.schema.get_field_index(SCOPE), SCOPE, pa.array(codes, pa.int32()))
