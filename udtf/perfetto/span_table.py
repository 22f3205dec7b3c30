"""Spans of several partitions as the compiled loop reads them: where they are, because copying them together would take
as long as writing the packets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from udtf.arrow.addresses import address_of
from udtf.perfetto.annotations import Annotations, annotations_of
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part
    from udtf.views.spans import Spans

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SpanTable:
    """Spans of parts, in the order in which a trace shows them, with the ids of their scopes.

    Attributes:
        columns: of each part its begins, ends, depths, and codes of scopes; here so that they stay where they are.
        addresses: of these columns.
        scope_offsets: where in `iids` those of each part begin, and one number more.
        iids: of the scopes of each part, by code.
        first_sources: which of the annotations are those of the first row of each part, or -1 if it has none.
        annotations: of all rows.
        sections: runs of rows in order, each its part, its first row and the row after its last.
        bounds: which of the sections are those of each stream, from the first to before that of the next.
    """

    columns: Sequence[tuple[npt.NDArray[Any], ...]]
    addresses: Int64s
    scope_offsets: Int64s
    iids: npt.NDArray[np.int32]
    first_sources: Int64s
    annotations: Annotations
    sections: Int64s
    bounds: Int64s

    @classmethod
    def of(
        cls,
        writer: TraceWriter,
        parts: "Sequence[Part[Spans]]",
        run_streams: npt.NDArray[np.int32],
        nb_streams: int,
    ) -> "tuple[list[bytes], SpanTable]":
        """The spans of some parts, and packets that define what is new.

        Args:
            run_streams: of each run, which stream it is of; runs are numbered in the order of streams and events.
        """
        interned = [writer.intern(part.scopes.scopes, part.scopes.hashes) for part in parts]
        columns = [_columns(part) for part in parts]
        keys, annotations = annotations_of(writer, [(part.columns.attributes, len(part.columns)) for part in parts])
        rows_before = np.cumsum([0, *(len(part.columns) for part in parts)])
        sections, bounds = _sections(parts, run_streams, nb_streams)
        table = cls(
            columns,
            np.array([[address_of(column) for column in of_part] for of_part in columns], np.int64).reshape(-1, 4),
            np.cumsum([0, *(len(of_part.iids) for of_part in interned)]),
            np.concatenate([np.empty(0, np.int32), *(of_part.iids for of_part in interned)]),
            np.append(annotations.sources, -1)[np.minimum(rows_before, len(annotations.sources))][:-1],
            annotations,
            sections,
            bounds,
        )
        return [*(packet for of_part in interned for packet in of_part.definitions), *keys], table

    def of_stream(self, stream: int) -> Int64s:
        """The sections of a stream."""
        return self.sections[self.bounds[stream] : self.bounds[stream + 1]]

    def attribute_bytes(self, sections: Int64s) -> int:
        """Size of the attributes of the rows of some sections."""
        first = self.first_sources[sections[:, 0]]
        known, first = sections[first >= 0], first[first >= 0]
        offsets = self.annotations.offsets
        return int((offsets[first + known[:, 2]] - offsets[first + known[:, 1]]).sum())


def count_rows(sections: Int64s) -> int:
    """How many rows some sections have."""
    return int((sections[:, 2] - sections[:, 1]).sum())


def _columns(part: "Part[Spans]") -> tuple[npt.NDArray[Any], ...]:
    """Of the spans of a part, as a compiled loop takes them.

    Raises:
        ValueError: they are not as long as the part, and the loop would read beyond them.
    """
    spans = part.columns
    columns: tuple[npt.NDArray[Any], ...] = (
        np.ascontiguousarray(spans.begins_ns, np.int64),
        np.ascontiguousarray(spans.ends_ns, np.int64),
        np.ascontiguousarray(spans.depths, np.int32),
        np.ascontiguousarray(spans.scopes, np.int32),
    )
    lengths = [len(column) for column in columns]
    if {*lengths} != {int(part.bounds[-1])}:
        raise ValueError(f"columns of {part.bounds[-1]} spans have lengths {lengths}")
    return columns


def _sections(
    parts: "Sequence[Part[Any]]", run_streams: npt.NDArray[np.int32], nb_streams: int
) -> tuple[Int64s, Int64s]:
    """The runs of parts in order, but for empty ones, and which of them are those of each stream."""
    runs = np.concatenate([np.empty(0, np.int64), *(part.runs for part in parts)])
    numbers = np.repeat(np.arange(len(parts)), [len(part.runs) for part in parts])
    begins = np.concatenate([np.empty(0, np.int64), *(part.bounds[:-1] for part in parts)])
    ends = np.concatenate([np.empty(0, np.int64), *(part.bounds[1:] for part in parts)])
    order = np.argsort(runs, kind="stable")
    order = order[begins[order] < ends[order]]
    bounds = np.searchsorted(run_streams[runs[order]], np.arange(nb_streams + 1))
    return np.stack((numbers[order], begins[order], ends[order]), axis=1), bounds
