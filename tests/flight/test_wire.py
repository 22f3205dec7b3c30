"""Messages of Flight SQL to bytes and back."""

import subprocess
import sys

import pytest

from flightsrv.wire import codec
from flightsrv.wire.action_messages import (
    CancelFlightInfoRequest,
    Error,
    OptionError,
    SessionOptionValue,
    SetSessionOptionsRequest,
    SetSessionOptionsResult,
    StringListValue,
)
from flightsrv.wire.codec import MalformedMessage, UnsupportedMessage, decode, encode, pack, unpack
from flightsrv.wire.commands import (
    ActionCreatePreparedStatementResult,
    CommandGetSqlInfo,
    CommandGetTables,
    CommandStatementIngest,
    CommandStatementQuery,
    DoPutUpdateResult,
    QueryTicket,
    TableDefinitionOptions,
    TableExists,
    TableNotExist,
    TicketStatementQuery,
)
from flightsrv.wire.flight_messages import (
    DescriptorType,
    FlightData,
    FlightDescriptor,
    FlightEndpoint,
    FlightInfo,
    Location,
    PollInfo,
    Ticket,
    Timestamp,
)
from flightsrv.wire.message import Message
from flightsrv.wire.pool import message_class

MESSAGES = [
    CommandStatementQuery("SELECT 'ä'"),
    CommandStatementQuery("SELECT 1", transaction_id=b""),
    CommandStatementIngest(
        "blocks",
        TableDefinitionOptions(TableNotExist.FAIL, TableExists.APPEND),
        schema="public",
        options={"a": "b"},
    ),
    CommandStatementIngest("blocks"),
    CommandGetSqlInfo((0, 8)),
    CommandGetTables(catalog="", table_types=("BASE TABLE",), include_schema=True),
    ActionCreatePreparedStatementResult(b"h", b"", b"", is_update=False),
    QueryTicket("SELECT 1", range_begin_ns=-5, range_end_ns=(1 << 63) - 1),
    DoPutUpdateResult(-1),
]
BARE = [
    CancelFlightInfoRequest(FlightInfo((FlightEndpoint(Ticket(b"t"), (Location("grpc://x"),), Timestamp(5)),))),
    SetSessionOptionsRequest(
        {
            "unset": SessionOptionValue(),
            "zero": SessionOptionValue(int64_value=0),
            "list": SessionOptionValue(string_list_value=StringListValue(("a", "b"))),
        }
    ),
    SetSessionOptionsResult({"a": Error(OptionError.INVALID_NAME)}),
    PollInfo(
        FlightInfo(schema=b"s", flight_descriptor=FlightDescriptor(DescriptorType.CMD, b"c"), ordered=True),
        progress=1.0,
    ),
    PollInfo(
        FlightInfo((), b"", None, 0, 0), FlightDescriptor(DescriptorType.PATH, path=("a", "b")), 0.0, Timestamp(1)
    ),
    FlightData(FlightDescriptor(), b"header", b"metadata", b"body"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_survives_its_way_to_bytes_and_back(message: Message) -> None:
    """Bare and in Any, every field comes back, absent ones as None."""
    assert unpack(pack(message)) == message
    assert decode(type(message), encode(message)) == message


@pytest.mark.parametrize("message", BARE, ids=lambda message: type(message).__name__)
def test_nested_messages_survive_as_well(message: Message) -> None:
    """Alone, repeated, and as the values of a map."""
    assert decode(type(message), encode(message)) == message


def test_absent_and_empty_optional_fields_differ() -> None:
    """An empty catalog asks for objects without a catalog, an absent one for all."""
    assert unpack(pack(CommandGetTables(catalog=""))) != unpack(pack(CommandGetTables()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff\xff\xff",
        encode(TicketStatementQuery(b"SELECT 1/2 FROM t")),
        encode(TicketStatementQuery(b"SELECT a/arrow.flight.protocol.sql.b c")),
        encode(DoPutUpdateResult(3)),
    ],
)
def test_bytes_that_are_no_wrapped_message_are_refused(data: bytes) -> None:
    """A bare message that happens to parse as Any is not believed."""
    with pytest.raises(MalformedMessage):
        unpack(data)


def test_wrapped_message_with_broken_content_is_refused() -> None:
    """The type is right and the content is not."""
    wrapped = message_class("google.protobuf.Any")(
        type_url=codec.TYPE_URL_PREFIX + "arrow.flight.protocol.sql.CommandStatementQuery",
        value=b"\x0a\xff",
    )
    with pytest.raises(MalformedMessage, match="CommandStatementQuery"):
        unpack(wrapped.SerializeToString())


def test_flight_sql_message_without_dataclass_is_named() -> None:
    """What is not offered is told apart from garbage."""
    wrapped = message_class("google.protobuf.Any")(
        type_url="type.googleapis.com/arrow.flight.protocol.sql.CommandOfTomorrow"
    )
    with pytest.raises(UnsupportedMessage, match="CommandOfTomorrow"):
        unpack(wrapped.SerializeToString())


def test_default_protobuf_pool_stays_untouched() -> None:
    """Another package may register the same messages in the default pool of this process."""
    script = (
        "from flightsrv.wire import codec, commands; codec.pack(commands.CommandStatementQuery('x'))\n"
        "from google.protobuf.descriptor_pool import Default\n"
        "name = 'arrow.flight.protocol.sql.CommandStatementQuery'\n"
        "try: Default().FindMessageTypeByName(name)\n"
        "except KeyError: print('untouched')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "untouched"
