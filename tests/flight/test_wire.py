"""Messages of Flight SQL to bytes and back."""

import os
import subprocess
import sys

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from flightsrv.wire.codec import MAX_REPEATED, MalformedMessage, UnsupportedMessage, decode, pack, unpack
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    FlightData,
    FlightDescriptor,
    FlightEndpoint,
    FlightInfo,
    Location,
    PollInfo,
    SessionOptionValue,
    SetSessionOptionsRequest,
    SetSessionOptionsResult,
    Ticket,
)
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementResult,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandStatementIngest,
    CommandStatementQuery,
    DoPutUpdateResult,
    TicketStatementQuery,
)
from flightsrv.wire.ticket_pb2 import QueryTicket

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

MESSAGES = [
    CommandStatementQuery(query="SELECT 'ä'"),
    CommandStatementQuery(query="SELECT 1", transaction_id=b""),
    CommandStatementIngest(
        table="blocks",
        table_definition_options=TableDefinitionOptions(
            if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_FAIL,
            if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND,
        ),
        schema="public",
        options={"a": "b"},
    ),
    CommandStatementIngest(table="blocks"),
    CommandGetSqlInfo(info=(0, 8)),
    CommandGetTables(catalog="", table_types=("BASE TABLE",), include_schema=True),
    ActionCreatePreparedStatementResult(
        prepared_statement_handle=b"h", dataset_schema=b"", parameter_schema=b"", is_update=False
    ),
    QueryTicket(sql="SELECT 1", range_begin_ns=-5, range_end_ns=(1 << 63) - 1),
    DoPutUpdateResult(record_count=-1),
]
BARE = [
    CancelFlightInfoRequest(
        info=FlightInfo(
            endpoint=(
                FlightEndpoint(
                    ticket=Ticket(ticket=b"t"),
                    location=(Location(uri="grpc://x"),),
                    expiration_time={"seconds": 5},
                ),
            )
        )
    ),
    SetSessionOptionsRequest(
        session_options={
            "unset": SessionOptionValue(),
            "zero": SessionOptionValue(int64_value=0),
            "list": SessionOptionValue(string_list_value=SessionOptionValue.StringListValue(values=("a", "b"))),
        }
    ),
    SetSessionOptionsResult(errors={"a": SetSessionOptionsResult.Error(value=SetSessionOptionsResult.INVALID_NAME)}),
    PollInfo(
        info=FlightInfo(
            schema=b"s", flight_descriptor=FlightDescriptor(type=FlightDescriptor.CMD, cmd=b"c"), ordered=True
        ),
        progress=1.0,
    ),
    PollInfo(
        info=FlightInfo(total_records=0, total_bytes=0),
        flight_descriptor=FlightDescriptor(type=FlightDescriptor.PATH, path=("a", "b")),
        progress=0.0,
        expiration_time={"seconds": 1},
    ),
    FlightData(
        flight_descriptor=FlightDescriptor(), data_header=b"header", app_metadata=b"metadata", data_body=b"body"
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_survives_its_way_to_bytes_and_back(message: Message) -> None:
    """Bare and in Any, every field comes back, absent ones as None."""
    assert unpack(pack(message)) == message
    assert decode(type(message), message.SerializeToString()) == message


@pytest.mark.parametrize("message", BARE, ids=lambda message: type(message).__name__)
def test_nested_messages_survive_as_well(message: Message) -> None:
    """Alone, repeated, and as the values of a map."""
    assert decode(type(message), message.SerializeToString()) == message


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("path", FlightData(flight_descriptor=FlightDescriptor(path=["a"] * (MAX_REPEATED + 1)))),
        ("location", FlightInfo(endpoint=[FlightEndpoint(location=[Location()] * (MAX_REPEATED + 1))])),
        ("options", CommandStatementIngest(options=dict.fromkeys(map(str, range(MAX_REPEATED + 1)), ""))),
        (
            "values",
            SetSessionOptionsRequest(
                session_options={
                    "a": SessionOptionValue(
                        string_list_value=SessionOptionValue.StringListValue(values=["b"] * (MAX_REPEATED + 1))
                    )
                }
            ),
        ),
    ],
)
def test_lists_that_are_too_long_are_refused(field: str, message: Message) -> None:
    """Wherever they are: in a message, in lists of messages, in maps."""
    with pytest.raises(MalformedMessage, match=f"^{field} has {MAX_REPEATED + 1} values, at most {MAX_REPEATED} are"):
        decode(type(message), message.SerializeToString())


def test_fields_that_are_not_known_are_dropped() -> None:
    """Neither an answer nor a ticket repeats them."""
    unknown = b"\xf2\x01\x03abc"
    info = FlightInfo(schema=b"s", flight_descriptor=FlightDescriptor(cmd=b"c")).SerializeToString()
    descriptor = FlightDescriptor(cmd=b"c").SerializeToString()
    longer = info.replace(bytes([len(descriptor)]) + descriptor, bytes([len(descriptor) + 6]) + descriptor + unknown)
    assert len(longer) == len(info) + 6
    assert decode(FlightInfo, longer + unknown).SerializeToString() == info


def test_absent_and_empty_optional_fields_differ() -> None:
    """An empty catalog asks for objects without a catalog, an absent one for all."""
    assert unpack(pack(CommandGetTables(catalog=""))) != unpack(pack(CommandGetTables()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff\xff\xff",
        TicketStatementQuery(statement_handle=b"SELECT 1/2 FROM t").SerializeToString(),
        TicketStatementQuery(statement_handle=b"SELECT a/arrow.flight.protocol.sql.b c").SerializeToString(),
        DoPutUpdateResult(record_count=3).SerializeToString(),
    ],
)
def test_bytes_that_are_no_wrapped_message_are_refused(data: bytes) -> None:
    """A bare message that happens to parse as Any is not believed."""
    with pytest.raises(MalformedMessage):
        unpack(data)


def test_wrapped_message_with_broken_content_is_refused() -> None:
    """The type is right and the content is not."""
    wrapped = AnyMessage(
        type_url="type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery",
        value=b"\x0a\xff",
    )
    with pytest.raises(MalformedMessage, match="CommandStatementQuery"):
        unpack(wrapped.SerializeToString())


def test_flight_sql_message_that_is_not_known_is_named() -> None:
    """What is not offered is told apart from garbage."""
    wrapped = AnyMessage(type_url="type.googleapis.com/arrow.flight.protocol.sql.CommandOfTomorrow")
    with pytest.raises(UnsupportedMessage, match="CommandOfTomorrow"):
        unpack(wrapped.SerializeToString())


def test_default_protobuf_pool_stays_untouched() -> None:
    """Another package may register the same messages in the default pool of this process."""
    script = (
        "from flightsrv.wire.codec import pack; from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery\n"
        "pack(CommandStatementQuery(query='x'))\n"
        "from google.protobuf.descriptor_pool import Default\n"
        "name = 'arrow.flight.protocol.sql.CommandStatementQuery'\n"
        "try: Default().FindMessageTypeByName(name)\n"
        "except KeyError: print('untouched')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "untouched"


def test_messages_are_the_same_where_protobuf_is_python_alone() -> None:
    """Not every machine has its compiled implementation."""
    script = (
        "from flightsrv.wire.codec import pack, unpack\n"
        "from flightsrv.wire.flight_sql_pb2 import CommandStatementIngest as Ingest\n"
        "options = Ingest.TableDefinitionOptions(if_exists=Ingest.TableDefinitionOptions.TABLE_EXISTS_OPTION_APPEND)\n"
        "message = Ingest(table='blocks', table_definition_options=options, options={'a': 'b'})\n"
        "assert unpack(pack(message)) == message\n"
        "print(pack(message).hex())"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for implementation in ("upb", "python")
    }
    assert len(shown) == 1
