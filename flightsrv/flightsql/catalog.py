"""Catalogs, schemas, tables and kinds of tables, in the exact columns that clients insist on."""

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import Message

from flightsrv.flight.answer import Answer, Batches, IsCancelled
from flightsrv.flight.call import Call
from flightsrv.flightsql.column_metadata import with_column_metadata
from flightsrv.wire.flight_sql_pb2 import (
    CommandGetCatalogs,
    CommandGetDbSchemas,
    CommandGetTables,
    CommandGetTableTypes,
)
from udtf.errors import InvalidArgument
from udtf.sql.tables import with_table_of_columns

MAX_PATTERN_CHARS = 1000

CATALOGS = pa.schema([pa.field("catalog_name", pa.utf8(), nullable=False)])
DB_SCHEMAS = pa.schema([pa.field("catalog_name", pa.utf8()), pa.field("db_schema_name", pa.utf8(), nullable=False)])
TABLES = pa.schema(
    [
        pa.field("catalog_name", pa.utf8()),
        pa.field("db_schema_name", pa.utf8()),
        pa.field("table_name", pa.utf8(), nullable=False),
        pa.field("table_type", pa.utf8(), nullable=False),
    ]
)
TABLES_WITH_SCHEMA = TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
TABLE_TYPES = pa.schema([pa.field("table_type", pa.utf8(), nullable=False)])


_KINDS = {"TABLE": "BASE TABLE"}
"""Names of kinds of tables that most drivers ask for, and what SQL calls them."""

_PATTERNS = {"db_schema_name": "db_schema_filter_pattern", "table_name": "table_name_filter_pattern"}
"""Fields of commands, by the columns that they filter."""

_ALL_TABLES = """
    SELECT table_catalog AS catalog_name, table_schema AS db_schema_name, table_name, table_type
    FROM information_schema.tables
"""


def get_catalogs(call: Call, command: CommandGetCatalogs) -> Answer:
    """Answer with the catalogs."""
    return _ordered(_tables(call, command).group_by("catalog_name").aggregate([]), CATALOGS, command)


def get_db_schemas(call: Call, command: CommandGetDbSchemas) -> Answer:
    """Answer with the schemas that pass the filters; raises InvalidArgument for a pattern that is too long."""
    tables = _tables(call, command)
    return _ordered(tables.group_by(["catalog_name", "db_schema_name"]).aggregate([]), DB_SCHEMAS, command)


def get_tables(call: Call, command: CommandGetTables) -> Answer:
    """Answer with the tables that pass the filters, and with their schemas where these are asked for; raises
    InvalidArgument for a pattern that is too long."""
    tables = _tables(call, command)
    if command.table_types:
        kinds = [_KINDS.get(kind, kind) for kind in command.table_types]
        tables = tables.filter(pc.is_in(tables["table_type"], pa.array(kinds, pa.utf8())))
    if not command.include_schema:
        return _ordered(tables, TABLES, command)
    names = zip(*(tables[name].to_pylist() for name in TABLES.names[:3]), strict=True)
    schemas = [_table_schema(call, *parts) for parts in names]
    tables = tables.append_column("table_schema", pa.array(schemas, pa.binary()))
    return _ordered(tables, TABLES_WITH_SCHEMA, command)


def get_table_types(call: Call, command: CommandGetTableTypes) -> Answer:
    """Answer with the kinds of tables."""
    return _ordered(_tables(call, command).group_by("table_type").aggregate([]), TABLE_TYPES, command)


def table_answer(table: pa.Table, command: Message) -> Answer:
    """Answer with a table that is there already; the command is its own ticket."""

    def batches(is_cancelled: IsCancelled) -> Batches:
        yield from table.to_batches()

    return Answer(table.schema, command, batches)


def _ordered(table: pa.Table, schema: pa.Schema, command: Message) -> Answer:
    """Answer with the columns of `schema`, ordered by those that are names."""
    order = [(field.name, "ascending") for field in schema if pa.types.is_string(field.type)]
    return table_answer(table.select(schema.names).sort_by(order).cast(schema), command)


def _tables(call: Call, command: Message) -> pa.Table:
    """The tables of the command's catalog (exactly) that match its patterns (as by LIKE); a filter that is absent lets
    all through.

    Raises:
        InvalidArgument: a pattern is too long.
    """
    filters = {field.name: value for field, value in command.ListFields()}
    patterns = {column: filters[name] for column, name in _PATTERNS.items() if name in filters}
    for pattern in patterns.values():
        if len(pattern) > MAX_PATTERN_CHARS:
            raise InvalidArgument(f"a pattern has at most {MAX_PATTERN_CHARS} characters, given: {len(pattern)}")
    query = call.services.engine.plan(_ALL_TABLES)
    tables = pa.Table.from_batches(query.batches(call.is_cancelled), query.schema)
    if "catalog" in filters:
        tables = tables.filter(pc.equal(tables["catalog_name"], filters["catalog"]))
    for column, pattern in patterns.items():
        tables = tables.filter(pc.match_like(tables[column], pattern))
    return tables


def _table_schema(call: Call, catalog: str, db_schema: str, table: str) -> bytes:
    quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (catalog, db_schema, table))
    schema = with_table_of_columns(call.services.engine.plan(f"SELECT * FROM {quoted}").schema, table)
    encoded: bytes = with_column_metadata(schema, catalog, db_schema).serialize().to_pybytes()
    return encoded
