"""Rows of several partitions, put into the order in which a trace shows them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from udtf.errors import CorruptData
from udtf.lake.ranges import gather
from udtf.perfetto.annotations import NO_ANNOTATIONS, Annotations, annotations_of
from udtf.perfetto.interning import Interned
from udtf.perfetto.writer import TraceWriter

if TYPE_CHECKING:
    from udtf.views.kind import Part

Int64s = npt.NDArray[np.int64]
Column = npt.NDArray[Any]


def interned_columns(
    writer: TraceWriter,
    parts: "Sequence[Part[Any]]",
    columns_of: Callable[[Any], tuple[Column, ...]],
    scopes_of: Callable[[Any], npt.NDArray[np.int32]],
    run_streams: npt.NDArray[np.int32],
    nb_streams: int,
) -> tuple[list[bytes], list[Column], Int64s, Annotations]:
    """Columns of the rows of parts by stream, and for each stream in the order of its events; scopes and keys of
    attributes interned.

    Args:
        columns_of: the columns of a part that are wanted.
        scopes_of: the codes of the scopes of its rows.
        run_streams: of each run, which stream it is of; runs are numbered in the order of streams and events.

    Returns:
        packets that define what is new; the columns, and last the ids of scopes; where the rows of each stream begin,
        with the number of rows in the end; and the attributes of the rows.

    Raises:
        CorruptData: a row has a scope that its partition does not have.
    """
    definitions: list[bytes] = []
    columns = []
    for part in parts:
        interned = interned_scopes(writer, part, scopes_of(part.columns))
        definitions += interned.definitions
        columns.append((*columns_of(part.columns), interned.iids))
    of_parts = [(part.columns.attributes, len(part.columns)) for part in parts]
    keys, annotations = annotations_of(writer, of_parts)
    definitions += keys
    if annotations is NO_ANNOTATIONS:
        return definitions, *ordered_columns(parts, columns, run_streams, nb_streams), annotations
    ends = np.cumsum([count for _, count in of_parts])[:-1]
    with_sources = [
        (*of_part, sources) for of_part, sources in zip(columns, np.split(annotations.sources, ends), strict=True)
    ]
    (*ordered, sources), bounds = ordered_columns(parts, with_sources, run_streams, nb_streams)
    return definitions, ordered, bounds, annotations.with_sources(sources)


def interned_scopes(writer: TraceWriter, part: "Part[Any]", codes: npt.NDArray[np.int32]) -> Interned:
    """The ids of the scopes of the rows of a part, given by code, and what defines those that are new.

    Raises:
        CorruptData: a row has a scope that its partition does not have.
    """
    interned = writer.intern(part.scopes.scopes, part.scopes.hashes)
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(interned.iids)):
        raise CorruptData(f"a partition has scopes {codes.min()} to {codes.max()}, of {len(interned.iids)}")
    return Interned(interned.iids[codes], interned.definitions)


def ordered_columns(
    parts: "Sequence[Part[Any]]",
    columns: Sequence[tuple[Column, ...]],
    run_streams: npt.NDArray[np.int32],
    nb_streams: int,
) -> tuple[list[Column], Int64s]:
    """Columns of the rows of parts, given those of each, by stream, and for each stream in the order of its events.

    Returns:
        the columns, none if there are no parts; and where the rows of each stream begin, with the number of rows in
        the end.
    """
    if not parts:
        return [], np.zeros(nb_streams + 1, np.int64)
    runs = np.concatenate([part.runs for part in parts])
    counts = np.concatenate([np.diff(part.bounds) for part in parts])
    starts = np.cumsum(counts) - counts
    order = np.argsort(runs, kind="stable")
    streams = run_streams[runs[order]]
    bounds = np.concatenate(([0], np.cumsum(np.bincount(streams, counts[order], nb_streams).astype(np.int64))))
    joined = [np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*columns, strict=True)]
    if len(order) > 1 and np.any(order[1:] < order[:-1]):
        joined = [gather(np.ascontiguousarray(column), starts[order], counts[order]) for column in joined]
    return joined, bounds
