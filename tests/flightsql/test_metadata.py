"""What clients ask before and beside queries: tables, schemas, abilities."""

from collections.abc import Iterator

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.flightsql import catalog, column_metadata, keys, sql_info, sql_types, type_info
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.flight_sql_pb2 import (
    CommandGetCatalogs,
    CommandGetCrossReference,
    CommandGetDbSchemas,
    CommandGetExportedKeys,
    CommandGetImportedKeys,
    CommandGetPrimaryKeys,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandGetTableTypes,
    CommandGetXdbcTypeInfo,
    CommandStatementQuery,
)
from tests.server.clients import descriptor
from udtf.functions.blocks_table import COLUMNS as BLOCKS
from udtf.lake.schemas import PROCESSES, STREAMS

VIEWS = ["columns", "df_settings", "parameters", "routines", "schemata", "tables", "views"]
PUBLIC = {"catalog": "datafusion", "db_schema_filter_pattern": "public"}


def ask(connection: flight.FlightClient, command: Message) -> pa.Table:
    info = connection.get_flight_info(descriptor(command))
    assert connection.get_schema(descriptor(command)).schema == info.schema
    table = connection.do_get(info.endpoints[0].ticket).read_all()
    assert table.schema == info.schema
    return table


def test_catalogs_and_schemas_are_listed(connection: flight.FlightClient) -> None:
    """In the columns that clients compare with."""
    catalogs = ask(connection, CommandGetCatalogs())
    assert catalogs == pa.table({"catalog_name": ["datafusion"]}, catalog.CATALOGS)
    schemas = ask(connection, CommandGetDbSchemas())
    assert schemas.schema == catalog.DB_SCHEMAS
    assert schemas["db_schema_name"].to_pylist() == ["information_schema", "public"]


@pytest.mark.parametrize(
    ("command", "schemas"),
    [
        (CommandGetDbSchemas(catalog="datafusion"), ["information_schema", "public"]),
        (CommandGetDbSchemas(catalog="data%"), []),
        (CommandGetDbSchemas(catalog=""), []),
        (CommandGetDbSchemas(db_schema_filter_pattern="pub%"), ["public"]),
        (CommandGetDbSchemas(db_schema_filter_pattern="publi_"), ["public"]),
        (CommandGetDbSchemas(db_schema_filter_pattern="PUBLIC"), []),
    ],
)
def test_schemas_are_filtered(connection: flight.FlightClient, command: Message, schemas: list[str]) -> None:
    """The catalog exactly, the schema as by LIKE; an empty catalog holds nothing."""
    assert ask(connection, command)["db_schema_name"].to_pylist() == schemas


def test_tables_are_listed_in_order(connection: flight.FlightClient) -> None:
    """Those of telemetry, in the schema that statements look into."""
    tables = ask(connection, CommandGetTables(**PUBLIC))
    assert tables.schema == catalog.TABLES
    assert tables["table_name"].to_pylist() == ["blocks", "processes", "streams"]
    assert set(tables["table_type"].to_pylist()) == {"BASE TABLE"}


def test_tables_are_listed_with_their_schemas(connection: flight.FlightClient) -> None:
    """The schema of a table is that of its rows."""
    tables = ask(connection, CommandGetTables(**PUBLIC, include_schema=True))
    assert tables.schema == catalog.TABLES_WITH_SCHEMA
    read = [pa.ipc.read_schema(pa.py_buffer(schema)) for schema in tables["table_schema"].to_pylist()]
    assert read == [BLOCKS, PROCESSES, STREAMS]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (CommandGetTables(table_name_filter_pattern="%oc%", **PUBLIC), ["blocks", "processes"]),
        (CommandGetTables(table_types=("VIEW",), **PUBLIC), []),
        (CommandGetTables(table_types=("table", "BASE TABLE"), **PUBLIC), ["blocks", "processes", "streams"]),
        (CommandGetTables(table_types=("TABLE",), **PUBLIC), ["blocks", "processes", "streams"]),
        (CommandGetTables(table_types=("table",), **PUBLIC), []),
        (CommandGetTables(table_types=("TABLE", "VIEW"), db_schema_filter_pattern="information%"), VIEWS),
        (CommandGetTables(table_name_filter_pattern="nowhere", include_schema=True), []),
    ],
)
def test_tables_are_filtered(connection: flight.FlightClient, command: Message, names: list[str]) -> None:
    """By pattern and by kind."""
    assert ask(connection, command)["table_name"].to_pylist() == names


def test_kinds_of_tables_are_listed(connection: flight.FlightClient) -> None:
    """Each once."""
    kinds = ask(connection, CommandGetTableTypes())
    assert kinds == pa.table({"table_type": ["BASE TABLE", "VIEW"]}, catalog.TABLE_TYPES)


def test_all_published_abilities_are_told(connection: flight.FlightClient) -> None:
    """No id more, none less: some clients break on either."""
    told = ask(connection, CommandGetSqlInfo())
    assert told.schema == sql_info.SQL_INFO
    assert told["info_name"].to_pylist() == [*range(12), 100, 101, *range(500, 577)]


@pytest.mark.parametrize(
    ("numbers", "type_code"),
    [
        ((0, 1, 2, 504), sql_info.STRING),
        ((3, 4, 5, 515, 556), sql_info.BOOL),
        ((541, 561, 562), sql_info.BIGINT),
        ((8, 503, 507, 522, 564), sql_info.INT32),
        ((508, 512), sql_info.STRINGS),
        ((517,), sql_info.MAP),
    ],
)
def test_abilities_have_the_types_that_clients_expect(
    connection: flight.FlightClient, numbers: tuple[int, ...], type_code: int
) -> None:
    """And come in the order in which they were asked for."""
    told = ask(connection, CommandGetSqlInfo(info=numbers))
    assert tuple(told["info_name"].to_pylist()) == numbers
    assert {value.type_code for value in told["value"]} == {type_code}


def test_unknown_abilities_are_left_out(connection: flight.FlightClient) -> None:
    """A newer client may ask for what we have not heard of."""
    assert ask(connection, CommandGetSqlInfo(info=(8, 9999)))["info_name"].to_pylist() == [8]


@pytest.mark.parametrize(
    ("command", "schema"),
    [
        (CommandGetPrimaryKeys(table="blocks"), keys.PRIMARY_KEYS),
        (CommandGetExportedKeys(table="blocks", catalog="datafusion"), keys.FOREIGN_KEYS),
        (CommandGetImportedKeys(table="blocks", db_schema="public"), keys.FOREIGN_KEYS),
        (CommandGetCrossReference(pk_table="processes", fk_table="streams"), keys.FOREIGN_KEYS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tables_have_no_keys(connection: flight.FlightClient, command: Message, schema: pa.Schema) -> None:
    """Which is told in the columns that clients expect."""
    assert ask(connection, command) == schema.empty_table()


def test_every_type_that_is_told_exists(connection: flight.FlightClient) -> None:
    """A client may cast to each by its name, and written out with its prefix and suffix a value has that type."""
    told = ask(connection, CommandGetXdbcTypeInfo())
    assert told.schema == type_info.TYPE_INFO
    assert told.num_rows == len(sql_types.TYPES)
    values = {
        "VARCHAR": "x",
        "BYTEA": "00ff",
        "DATE": "2026-01-01",
        "TIME": "10:00:00",
        "TIMESTAMP": "2026-01-01T10:00:00",
        "INTERVAL": "1 day",
    }
    for info in told.to_pylist():
        written = (info["literal_prefix"] or "") + values.get(info["type_name"], "1") + (info["literal_suffix"] or "")
        sql = f"SELECT CAST({written} AS {info['type_name']}) AS cast_to, {written} AS written"
        schema = connection.get_schema(descriptor(CommandStatementQuery(query=sql))).schema
        if info["literal_prefix"]:
            assert schema.field("cast_to").type == schema.field("written").type


def test_types_are_ordered_and_filtered(connection: flight.FlightClient) -> None:
    """By number, then by name."""
    told = ask(connection, CommandGetXdbcTypeInfo())
    assert told == told.sort_by([("data_type", "ascending"), ("type_name", "ascending")])
    integers = ask(connection, CommandGetXdbcTypeInfo(data_type=sql_types.Xdbc.INTEGER))
    assert integers["type_name"].to_pylist() == ["INTEGER", "INTEGER UNSIGNED"]
    assert integers["unsigned_attribute"].to_pylist() == [False, True]
    assert ask(connection, CommandGetXdbcTypeInfo(data_type=0)).num_rows == 0


# ---- The same by ADBC


@pytest.fixture
def dbapi(server: RunningServer) -> Iterator[adbc.Connection]:
    """A connection of ADBC to the real server."""
    with adbc.connect(server.url, autocommit=True) as connected:
        yield connected


@pytest.mark.parametrize("depth", ["catalogs", "db_schemas", "tables", "columns"])
def test_adbc_lists_objects_at_every_depth(dbapi: adbc.Connection, depth: str) -> None:
    """The driver compares every schema exactly."""
    (datafusion,) = dbapi.adbc_get_objects(depth=depth).read_all().to_pylist()
    assert datafusion["catalog_name"] == "datafusion"
    if depth == "columns":
        (public,) = [s for s in datafusion["catalog_db_schemas"] if s["db_schema_name"] == "public"]
        tables = {table["table_name"]: table["table_columns"] for table in public["db_schema_tables"]}
        assert [column["column_name"] for column in tables["streams"]] == STREAMS.names


def test_adbc_knows_tables_and_their_schemas(dbapi: adbc.Connection) -> None:
    """By name."""
    assert dbapi.adbc_get_table_schema("blocks") == BLOCKS
    assert "BASE TABLE" in dbapi.adbc_get_table_types()
    assert dbapi.adbc_get_info()["vendor_name"] == "flightsrv"


def test_adbc_knows_the_schema_of_a_statement(dbapi: adbc.Connection) -> None:
    """Without running it."""
    with dbapi.cursor() as cursor:
        assert cursor.adbc_execute_schema("SELECT * FROM blocks") == BLOCKS
        assert cursor.adbc_prepare("SELECT ?, ?").names == ["$1", "$2"]


def test_adbc_reads_partitions(dbapi: adbc.Connection) -> None:
    """A partition may be read on another connection, and more than once."""
    with dbapi.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions("SELECT 1 AS n")
        assert schema.names == ["n"]
        for partition in partitions * 2:
            cursor.adbc_read_partition(partition)
            assert cursor.fetchall() == [(1,)]


def test_adbc_update_is_refused_by_the_statement(dbapi: adbc.Connection) -> None:
    """Nothing is sent a second time as an update."""
    with dbapi.cursor() as cursor:
        for sql in ("CREATE TABLE t (a INT)", "DELETE FROM processes"):
            with pytest.raises(adbc_driver_manager.ProgrammingError, match="INVALID_ARGUMENT"):
                cursor.execute(sql)
        with pytest.raises(adbc_driver_manager.NotSupportedError, match="CommandPreparedStatementUpdate"):
            cursor.executemany("SELECT ?", [(1,)])


# ---- Columns


def metadata_of(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """What Flight SQL tells of each column."""
    return {
        field.name: {
            key.decode().removeprefix("ARROW:FLIGHT:SQL:"): value.decode()
            for key, value in (field.metadata or {}).items()
        }
        for field in schema
    }


FLAGS = {"IS_AUTO_INCREMENT": "0", "IS_READ_ONLY": "1", "IS_SEARCHABLE": "1"}
PLACE = {"CATALOG_NAME": "datafusion", "SCHEMA_NAME": "public"}


def test_columns_of_tables_are_described(connection: flight.FlightClient) -> None:
    """In the schemas that come with the list of tables."""
    tables = ask(connection, CommandGetTables(table_name_filter_pattern="processes", include_schema=True, **PUBLIC))
    (encoded,) = tables["table_schema"].to_pylist()
    told = metadata_of(pa.ipc.read_schema(pa.py_buffer(encoded)))
    place = {**PLACE, "TABLE_NAME": "processes", **FLAGS}
    assert told["process_id"] == {**place, "TYPE_NAME": "VARCHAR", "IS_CASE_SENSITIVE": "1"}
    assert told["start_ticks"] == {
        **place,
        "REMARKS": "the start, on the clock of the process",
        "TYPE_NAME": "BIGINT",
        "PRECISION": "19",
        "SCALE": "0",
        "IS_CASE_SENSITIVE": "0",
    }
    assert told["start_time"] == {
        **place,
        "TYPE_NAME": "TIMESTAMP",
        "PRECISION": "29",
        "SCALE": "9",
        "IS_CASE_SENSITIVE": "0",
    }
    assert told["properties"] == {**place, "IS_CASE_SENSITIVE": "0", "IS_SEARCHABLE": "0"}


def test_remarks_are_of_columns_that_there_are() -> None:
    """In tables that there are."""
    tables = {"processes": PROCESSES, "streams": STREAMS, "blocks": BLOCKS}
    assert [(table, name) for table, name in column_metadata.REMARKS if name not in tables[table].names] == []


def test_columns_of_views_are_described(connection: flight.FlightClient) -> None:
    """By the schema that they are in."""
    command = CommandGetTables(db_schema_filter_pattern="information%", include_schema=True)
    for row in ask(connection, command).to_pylist():
        for told in metadata_of(pa.ipc.read_schema(pa.py_buffer(row["table_schema"]))).values():
            assert (told["SCHEMA_NAME"], told["TABLE_NAME"]) == ("information_schema", row["table_name"])


def test_columns_of_results_are_described(connection: flight.FlightClient) -> None:
    """By their type, and by their table where they come from one."""
    sql = """
        SELECT p.process_id AS id, count(*) AS n, 1.5::real AS r, 1.5::decimal(5, 2) AS d, true AS b,
            DATE '2026-01-01' AS day
        FROM processes p JOIN streams s USING (process_id) GROUP BY 1
    """
    told = metadata_of(connection.get_schema(descriptor(CommandStatementQuery(query=sql))).schema)
    text = {"TYPE_NAME": "VARCHAR", "IS_CASE_SENSITIVE": "1"}
    other = {**FLAGS, "IS_CASE_SENSITIVE": "0"}
    assert told["id"] == {**FLAGS, **text, **PLACE, "TABLE_NAME": "processes"}
    assert told["n"] == {**other, "TYPE_NAME": "BIGINT", "PRECISION": "19", "SCALE": "0"}
    assert told["r"] == {**other, "TYPE_NAME": "REAL", "PRECISION": "7"}
    assert told["d"] == {**other, "TYPE_NAME": "DECIMAL", "PRECISION": "5", "SCALE": "2"}
    assert told["b"] == {**other, "TYPE_NAME": "BOOLEAN"}
    assert told["day"] == {**other, "TYPE_NAME": "DATE", "PRECISION": "10"}


def test_names_of_types_are_those_that_are_listed(connection: flight.FlightClient) -> None:
    """And those that CAST takes."""
    listed = ask(connection, CommandGetXdbcTypeInfo())["type_name"].to_pylist()
    casts = ", ".join(f'CAST(NULL AS {name}) AS "{name}"' for name in listed)
    told = metadata_of(connection.get_schema(descriptor(CommandStatementQuery(query=f"SELECT {casts}"))).schema)
    for name in listed:
        if not name.endswith("UNSIGNED"):
            assert told[name]["TYPE_NAME"] == name


def test_answers_about_the_server_have_no_such_metadata(connection: flight.FlightClient) -> None:
    """Drivers compare their schemas exactly."""
    for command in (CommandGetTables(), CommandGetSqlInfo(), CommandGetXdbcTypeInfo(), CommandGetCatalogs()):
        assert not any(metadata_of(ask(connection, command).schema).values())
