"""Bulk ingestion by clients that are not ours."""

import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight

from flightsrv.wire.codec import decode
from flightsrv.wire.flight_sql_pb2 import CommandStatementIngest, CommandStatementQuery, DoPutUpdateResult
from tests.flightsql.ingest_options import CREATE, REPLACE, TableDefinitionOptions
from tests.server.clients import Client, Refused, put
from tests.server.telemetry import Recording


def test_telemetry_is_ingested_and_found_again(client: Client) -> None:
    """Every row is counted; rows sent again are neither refused nor doubled."""
    recording = Recording()
    for _ in range(2):
        for table, rows in recording.tables().items():
            assert client.ingest(table, rows) == rows.num_rows
    found = client.query(f"SELECT nb_objects FROM blocks WHERE process_id = '{recording.process_id}'")
    assert found.to_pylist() == [{"nb_objects": 4}]


def test_malformed_block_is_refused_whole(client: Client) -> None:
    """The good block that came with it is not stored either."""
    recording = Recording()
    for table in ("processes", "streams"):
        client.ingest(table, recording.tables()[table])
    names = ["block_id", "stream_id", "object_offset", "thread_events"]
    good = recording.blocks.select(names)
    events = good.column(3).values
    both = pa.record_batch(
        [
            pa.array([good.column(0)[0].as_py(), "broken"]),
            pa.array([recording.stream_id] * 2),
            pa.array([0, 100]),
            pa.ListArray.from_arrays(pa.array([0, len(events), len(events)], pa.int32()), events),
        ],
        names=names,
    )
    with pytest.raises(Refused, match="block 'broken': it has 0 events") as refused:
        client.ingest("blocks", both)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert "Traceback" not in refused.value.message
    assert client.query(f"SELECT * FROM blocks WHERE process_id = '{recording.process_id}'").num_rows == 0


def test_refusal_says_how_much_was_stored_before(connection: flight.FlightClient) -> None:
    """Record batches of one upload are stored one by one."""
    good, orphan = Recording(), Recording()
    put(connection, CommandStatementIngest(table="processes"), good.processes)
    with pytest.raises(pa.ArrowInvalid, match="are stored: 1 rows"):
        put(connection, CommandStatementIngest(table="streams"), good.streams, orphan.streams)


def test_unknown_table_is_not_found(client: Client) -> None:
    """The answer names the tables that there are."""
    with pytest.raises(Refused, match="processes, streams, blocks") as refused:
        client.ingest("spans", pa.record_batch({"a": [1]}))
    assert refused.value.code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("if_not_exist", "if_exists"),
    [
        (
            TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_UNSPECIFIED,
            TableDefinitionOptions.TABLE_EXISTS_OPTION_UNSPECIFIED,
        ),
        (
            TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_FAIL,
            TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
        ),
        (
            TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_CREATE,
            TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
        ),
    ],
)
def test_appending_modes_append(connection: flight.FlightClient, if_not_exist: int, if_exists: int) -> None:
    """Also those that would create a table that is there already."""
    command = CommandStatementIngest(
        table="processes",
        table_definition_options=TableDefinitionOptions(if_not_exist=if_not_exist, if_exists=if_exists),
    )
    assert decode(DoPutUpdateResult, put(connection, command, Recording().processes)).record_count == 1


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        (
            CommandStatementIngest(table="processes", table_definition_options=CREATE),
            pa.ArrowException,
            "already exists",
        ),
        (
            CommandStatementIngest(table="processes", table_definition_options=REPLACE),
            pa.ArrowInvalid,
            "cannot be replaced",
        ),
        (CommandStatementIngest(table="spans", table_definition_options=CREATE), pa.ArrowInvalid, "cannot be created"),
        (CommandStatementIngest(table="processes", temporary=True), pa.ArrowInvalid, "temporary"),
        (CommandStatementIngest(table="processes", catalog="other"), pa.ArrowKeyError, "other"),
        (CommandStatementIngest(table="processes", schema="other"), pa.ArrowKeyError, "other"),
        (CommandStatementIngest(table="processes", options={"speed": "11"}), pa.ArrowInvalid, "speed"),
        (CommandStatementIngest(table="processes", transaction_id=b"t"), NotImplementedError, "transactions"),
    ],
)
def test_what_a_lake_does_not_do_is_refused(
    connection: flight.FlightClient, command: Message, error: type[Exception], message: str
) -> None:
    """Before a row is read."""
    with pytest.raises(error, match=message):
        put(connection, command, Recording().processes)


def test_upload_without_rows_stores_nothing(connection: flight.FlightClient) -> None:
    """A schema, and the end."""
    empty = Recording().processes.slice(0, 0)
    answer = put(connection, CommandStatementIngest(table="processes"), empty)
    assert decode(DoPutUpdateResult, answer).record_count == 0


def test_upload_for_a_command_that_takes_none_is_unimplemented(connection: flight.FlightClient) -> None:
    """A query, say."""
    with pytest.raises(NotImplementedError, match="CommandStatementQuery"):
        put(connection, CommandStatementQuery(query="SELECT 1"), Recording().processes)


def test_upload_for_garbage_is_refused(connection: flight.FlightClient) -> None:
    """As by the other methods."""
    writer, _ = connection.do_put(flight.FlightDescriptor.for_command(b"garbage"), pa.schema([]))
    with pytest.raises(pa.ArrowInvalid, match="not a message"):
        writer.close()
