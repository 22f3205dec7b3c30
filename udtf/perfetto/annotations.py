"""Attributes of rows as the compiled loops read them to write annotations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.attributes import entry_keys
from udtf.lake.scopes import text_buffers
from udtf.perfetto.writer import TraceWriter

Int64s = npt.NDArray[np.int64]

NO_ATTRIBUTES = -1
"""Instead of the source of a row that has none."""


@dataclass(frozen=True)
class Annotations:
    """Of row r the attributes with number `sources[r]`, or none where that is `NO_ATTRIBUTES`; no row has any if
    `sources` is empty.

    The attributes with number s are the bytes of `data` from `offsets[s]` to `offsets[s + 1]`, and the ids of their
    keys begin at `key_iids[first_keys[s]]`.
    """

    sources: Int64s
    offsets: Int64s
    data: npt.NDArray[np.uint8]
    first_keys: Int64s
    key_iids: npt.NDArray[np.int32]

    def of_rows(self, rows: slice) -> "Annotations":
        """Those of some rows."""
        return self.with_sources(self.sources[rows])

    def with_sources(self, sources: Int64s) -> "Annotations":
        """Those of other rows."""
        return replace(self, sources=sources)

    def count_bytes(self) -> int:
        """Size of the attributes of all rows."""
        wanted = self.sources[self.sources >= 0]
        return int((self.offsets[wanted + 1] - self.offsets[wanted]).sum())

    @property
    def columns(self) -> tuple[Int64s, npt.NDArray[np.uint8], Int64s, npt.NDArray[np.int32]]:
        """As the compiled loops take them after `sources`."""
        return self.offsets, self.data, self.first_keys, self.key_iids


NO_ANNOTATIONS = Annotations(
    np.empty(0, np.int64),
    np.zeros(1, np.int64),
    np.empty(0, np.uint8),
    np.zeros(1, np.int64),
    np.empty(0, np.int32),
)


def annotations_of(
    writer: TraceWriter, columns: Sequence[tuple[pa.BinaryArray | None, int]]
) -> tuple[list[bytes], Annotations]:
    """The attributes of the rows of some parts, end to end, given those of each part and the number of its rows.

    Returns:
        packets that define keys that are new; the attributes, with a source for every row or for none.
    """
    if all(attributes is None for attributes, _ in columns):
        return [], NO_ANNOTATIONS
    offsets, data, sources = [np.zeros(1, np.int64)], [], []
    size = nb_known = 0
    for attributes, nb_rows in columns:
        if attributes is None:
            sources.append(np.full(nb_rows, NO_ATTRIBUTES, np.int64))
            continue
        begins, of_part = text_buffers(attributes)
        offsets.append(begins[1:].astype(np.int64) - int(begins[0]) + size)
        data.append(of_part[begins[0] : begins[-1]])
        sources.append(nb_known + np.arange(nb_rows))
        size += len(data[-1])
        nb_known += nb_rows
    all_offsets, all_data = np.concatenate(offsets), np.concatenate(data)
    first_keys, hashes, positions = entry_keys(all_offsets, all_data)
    interned = writer.intern_keys(hashes, positions, all_data)
    annotations = Annotations(np.concatenate(sources), all_offsets, all_data, first_keys, interned.iids)
    return list(interned.definitions), annotations
