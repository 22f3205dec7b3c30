"""The data types of our SQL, as GetXdbcTypeInfo tells them."""

from typing import Final

import pyarrow as pa

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call
from flightsrv.flightsql.catalog import table_answer
from flightsrv.flightsql.sql_types import TYPES
from flightsrv.wire.flight_sql_pb2 import CommandGetXdbcTypeInfo

TYPE_INFO: Final = pa.schema(
    [
        pa.field("type_name", pa.utf8(), nullable=False),
        pa.field("data_type", pa.int32(), nullable=False),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", pa.utf8()),
        pa.field("literal_suffix", pa.utf8()),
        pa.field("create_params", pa.list_(pa.field("item", pa.utf8(), nullable=False))),
        pa.field("nullable", pa.int32(), nullable=False),
        pa.field("case_sensitive", pa.bool_(), nullable=False),
        pa.field("searchable", pa.int32(), nullable=False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), nullable=False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", pa.utf8()),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        pa.field("sql_data_type", pa.int32(), nullable=False),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)


def get_xdbc_type_info(call: Call, command: CommandGetXdbcTypeInfo) -> Answer:
    """Answer with the types of the number asked for, or with all; ordered by number, then name."""
    asks_for_all = not command.HasField("data_type")
    rows = [info.row() for info in TYPES if asks_for_all or info.data_type == command.data_type]
    return table_answer(pa.Table.from_pylist(rows, TYPE_INFO), command)
