"""What the server can do, as GetSqlInfo tells it.

Clients insist on the type of every value and some on every published id being there; ids that were never published
break others. So an empty request gets exactly the published ones.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

import flightsrv
from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call
from flightsrv.flightsql.catalog import table_answer
from flightsrv.wire.flight_sql_pb2 import CommandGetSqlInfo

STRING, BOOL, BIGINT, INT32, STRINGS, MAP = range(6)
"""Type codes of the union."""

VALUE: Final = pa.dense_union(
    [
        pa.field("string_value", pa.utf8()),
        pa.field("bool_value", pa.bool_()),
        pa.field("bigint_value", pa.int64()),
        pa.field("int32_bitmask", pa.int32()),
        pa.field("string_list", pa.list_(pa.utf8())),
        pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
    ]
)
SQL_INFO: Final = pa.schema(
    [pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", VALUE, nullable=False)]
)

SUBSTRAIT_VERSION: Final = "0.85.0"
"""What DataFusion is made for."""

_STRINGS: Final = {
    0: "flightsrv",  # server name
    1: flightsrv.__version__,
    2: pa.__version__,
    6: SUBSTRAIT_VERSION,  # oldest and newest
    7: SUBSTRAIT_VERSION,
    504: '"',  # quotes a name
    513: "\\",  # escapes wildcards
    514: "",  # more characters in names
    529: "schema",
    530: "",  # no procedures, so no word for them
    531: "catalog",
}
_TRUE: Final = (
    3,  # SQL changes nothing
    4,  # SQL
    5,  # Substrait
    9,  # CancelFlightInfo
    10,  # bulk ingestion
    506,  # every table can be selected
    515,  # column aliases
    516,  # NULL in a concatenation gives NULL
    518,  # table aliases
    520,  # expressions in ORDER BY
    521,  # ORDER BY and GROUP BY columns that are not selected
    532,  # the catalog comes first in a full name
    539,  # correlated subqueries
)
_FALSE: Final = (
    11,  # ingestion in transactions
    *(500, 501, 502),  # CREATE and DROP
    *(519, 523, 524, 527, 536, 537, 556),
    *(563, 565, 566, 572, 573, 574, 575, 576),  # transactions, batches of updates, named parameters
)
_INT32: Final = {
    8: 0,  # no transactions
    100: 3_600_000,  # milliseconds that parameters stay bound
    101: 0,
    503: 3,  # names without quotes are stored in lower case
    505: 0,  # none of the choices is "as they are"
    507: 0,  # NULL sorts as the highest value
    522: 0b11,  # GROUP BY: unrelated columns, more than selected
    525: 0b11,  # grammar: minimum, core
    526: 0b1,  # SQL-92: entry level
    528: 2,  # all outer joins
    533: 0,
    534: 0,
    535: 0,
    538: 0b0111,  # subqueries: in comparisons, EXISTS, IN
    540: 0b11,  # UNION, UNION ALL
    564: 0b1,  # isolation: none
    567: 0b10,  # results are read forward
    568: 0,
    569: 0b10,  # and cannot be written to
    570: 0,
    571: 0,
}
_NO_LIMIT: Final = [number for number in range(541, 562) if number != 556]
_LISTS: Final = range(508, 513)  # words beyond the standard, functions by kind

VALUES: Final[Mapping[int, tuple[int, object]]] = dict(
    sorted(
        {
            **{number: (STRING, text) for number, text in _STRINGS.items()},
            **dict.fromkeys(_TRUE, (BOOL, True)),
            **dict.fromkeys(_FALSE, (BOOL, False)),
            **{number: (INT32, value) for number, value in _INT32.items()},
            **dict.fromkeys((*_NO_LIMIT, 562), (BIGINT, 0)),
            **{number: (STRINGS, []) for number in _LISTS},
            517: (MAP, {}),  # no CONVERT function; CAST converts
        }.items()
    )
)
"""Type code and value by id, for all ids of the SqlInfo enumeration of Flight SQL."""


def get_sql_info(call: Call, command: CommandGetSqlInfo) -> Answer:
    """Answer with the values asked for, those that exist; with all for an empty request."""
    wanted = [number for number in command.info or VALUES if number in VALUES]
    values = _dense_union([VALUES[number] for number in wanted])
    table = pa.Table.from_arrays([pa.array(wanted, pa.uint32()), values], schema=SQL_INFO)
    return table_answer(table, command)


def _dense_union(values: list[tuple[int, object]]) -> pa.Array:
    children: list[list[object]] = [[] for _ in VALUE]
    offsets = []
    for code, value in values:
        offsets.append(len(children[code]))
        children[code].append(value)
    # `UnionArray.from_dense` would give a type with other fields than the one that clients compare with.
    return pa.Array.from_buffers(
        VALUE,
        len(values),
        [
            None,
            pa.array([code for code, _ in values], pa.int8()).buffers()[1],
            pa.array(offsets, pa.int32()).buffers()[1],
        ],
        children=[pa.array(child, field.type) for child, field in zip(children, list(VALUE), strict=True)],
    )
