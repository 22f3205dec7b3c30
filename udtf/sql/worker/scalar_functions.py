"""Scalar functions that SQL has beyond those of DataFusion."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import ScalarUDF, udf

PROPERTIES = pa.map_(pa.utf8(), pa.utf8())


def property_get(properties: pa.MapArray, keys: pa.StringArray) -> pa.StringArray:
    """The value of a property by its key, for each row: null where there is none, or where the properties are null."""
    lengths = pc.list_value_length(properties).fill_null(0).to_numpy()
    entries = properties.flatten()
    rows = np.repeat(np.arange(len(properties)), lengths)
    is_wanted = pc.equal(entries.field(0), keys.take(pa.array(rows))).fill_null(False).to_numpy(zero_copy_only=False)
    found = np.full(len(properties), -1)
    matches = np.flatnonzero(is_wanted)[::-1]  # of two with one key, the first counts
    found[rows[matches]] = matches
    return entries.field(1).take(pa.array(found, mask=found < 0))


def properties_length(properties: pa.MapArray) -> pa.Int32Array:
    """How many properties there are, for each row; null where the properties are null."""
    return pc.list_value_length(properties)


SCALAR_FUNCTIONS: tuple[ScalarUDF, ...] = (
    udf(property_get, [PROPERTIES, pa.utf8()], pa.utf8(), "immutable", "property_get"),
    udf(properties_length, [PROPERTIES], pa.int32(), "immutable", "properties_length"),
)

OCTET_LENGTH_OF_BYTES = udf(pc.binary_length, [pa.binary()], pa.int32(), "immutable", "octet_length")
"""DataFusion's function of this name takes text only, and a function in Python has one type of argument. So this takes
the place of that in a statement that is refused for it."""

NO_OCTET_LENGTH_OF_BYTES = "Function 'octet_length' requires String, but received Binary"
"""How such a statement is refused."""
