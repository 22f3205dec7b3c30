"""Primary and foreign keys of tables: there are none, and clients that ask insist on the columns of the answer."""

from typing import Final

import pyarrow as pa

from flightsrv.flight.answer import Answer
from flightsrv.flight.call import Call
from flightsrv.flightsql.catalog import table_answer
from flightsrv.wire.flight_sql_pb2 import (
    CommandGetCrossReference,
    CommandGetExportedKeys,
    CommandGetImportedKeys,
    CommandGetPrimaryKeys,
)

# In the order of the reference implementations; a comment in the specification has another one.
PRIMARY_KEYS: Final = pa.schema(
    [
        pa.field("catalog_name", pa.utf8()),
        pa.field("db_schema_name", pa.utf8()),
        pa.field("table_name", pa.utf8(), nullable=False),
        pa.field("column_name", pa.utf8(), nullable=False),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("key_name", pa.utf8()),
    ]
)
FOREIGN_KEYS: Final = pa.schema(
    [
        pa.field("pk_catalog_name", pa.utf8()),
        pa.field("pk_db_schema_name", pa.utf8()),
        pa.field("pk_table_name", pa.utf8(), nullable=False),
        pa.field("pk_column_name", pa.utf8(), nullable=False),
        pa.field("fk_catalog_name", pa.utf8()),
        pa.field("fk_db_schema_name", pa.utf8()),
        pa.field("fk_table_name", pa.utf8(), nullable=False),
        pa.field("fk_column_name", pa.utf8(), nullable=False),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("fk_key_name", pa.utf8()),
        pa.field("pk_key_name", pa.utf8()),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)


def get_primary_keys(call: Call, command: CommandGetPrimaryKeys) -> Answer:
    """Answer with no column of any key."""
    return table_answer(PRIMARY_KEYS.empty_table(), command)


def get_foreign_keys(
    call: Call, command: CommandGetExportedKeys | CommandGetImportedKeys | CommandGetCrossReference
) -> Answer:
    """Answer with no key, from whichever side they were asked for."""
    return table_answer(FOREIGN_KEYS.empty_table(), command)
