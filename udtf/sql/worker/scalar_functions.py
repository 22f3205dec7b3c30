"""Scalar functions that SQL has beyond those of DataFusion."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import ScalarUDF, udf

PROPERTIES = pa.map_(pa.utf8(), pa.utf8())


def property_get(properties: pa.MapArray, keys: pa.StringArray) -> pa.StringArray:
    """The value of a property by its key, for each row: null where there is none, or where the properties are null."""
    offsets = properties.offsets.to_numpy()
    first, nb_entries = offsets[0], offsets[-1] - offsets[0]
    rows = np.repeat(np.arange(len(properties)), np.diff(offsets))
    wanted = keys.take(pa.array(rows))
    is_wanted = pc.equal(properties.keys.slice(first, nb_entries), wanted).fill_null(False)
    matches = np.flatnonzero(is_wanted.to_numpy(zero_copy_only=False))[::-1]  # of two with one key, the first counts
    found = np.full(len(properties), -1)
    found[rows[matches]] = first + matches
    is_missing = (found < 0) | properties.is_null().to_numpy(zero_copy_only=False)
    return properties.items.take(pa.array(found, mask=is_missing))


def properties_length(properties: pa.MapArray) -> pa.Int32Array:
    """How many properties there are, for each row; null where the properties are null."""
    lengths = np.diff(properties.offsets.to_numpy())
    return pa.array(lengths, mask=properties.is_null().to_numpy(zero_copy_only=False))


SCALAR_FUNCTIONS: tuple[ScalarUDF, ...] = (
    udf(property_get, [PROPERTIES, pa.utf8()], pa.utf8(), "immutable", "property_get"),
    udf(properties_length, [PROPERTIES], pa.int32(), "immutable", "properties_length"),
)

OCTET_LENGTH_OF_BYTES = udf(pc.binary_length, [pa.binary()], pa.int32(), "immutable", "octet_length")
"""DataFusion's function of this name takes text only, and a function in Python has one type of argument. So this takes
the place of that in a statement that is refused for it."""

NO_OCTET_LENGTH_OF_BYTES = "Function 'octet_length' requires String, but received Binary"
"""How such a statement is refused."""
