"""Attributes of spans: what was noted at the begin and until the end, wherever the two are."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.errors import CorruptData
from udtf.lake.attributes import any_in, has_some, merged, none, replaced
from udtf.lake.events import Events

Int64s = npt.NDArray[np.int64]


def attributes_of_spans(attributes: pa.BinaryArray | None, begins: Int64s, ends: Int64s) -> pa.BinaryArray | None:
    """Of each span the attributes of its begin and of its end, given those of all events and the positions of the two;
    of the end -1 if there is none."""
    if attributes is None:
        return None
    at_begin, at_end = attributes.take(pa.array(begins)), attributes.take(pa.array(ends, mask=ends < 0)).fill_null(b"")
    return merged(at_begin, at_end) if any_in(at_end) else at_begin


def completed(
    attributes: pa.BinaryArray | None, nb_rows: int, unfinished: Int64s, loose: Events, ends: Int64s
) -> pa.BinaryArray | None:
    """The attributes of rows of a partition, with those of ends that are not in it.

    Args:
        attributes: of the rows, as the partition has them; None if it has none.
        unfinished: the rows whose ends are not in it.
        loose: all loose events.
        ends: where among these the ends of unfinished rows are, -1 where there is none.
    """
    if loose.attributes is None:
        return attributes
    if len(ends) != len(unfinished):
        raise CorruptData(f"a partition has {len(unfinished)} unfinished spans, its index has {len(ends)}")
    at_ends = loose.attributes.take(pa.array(ends, mask=ends < 0)).fill_null(b"")
    noted = np.flatnonzero(has_some(at_ends))
    if not len(noted):
        return attributes
    rows = unfinished[noted]
    known = none(nb_rows) if attributes is None else attributes
    return replaced(known, rows, merged(known.take(pa.array(rows)), at_ends.take(pa.array(noted))))
