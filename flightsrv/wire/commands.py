"""Flight SQL commands and results as frozen dataclasses, and their way to bytes and back.

A dataclass has the name and the field names of its protobuf message. An absent optional field is None, a
repeated field a tuple, a map a dict, an enum an int. `pack` and `unpack` are for what travels in
`google.protobuf.Any`: commands in descriptors and tickets, bodies and results of Flight SQL actions. `encode`
and `decode` are for what travels bare: results of DoPut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from google.protobuf.message import DecodeError

from flightsrv.wire.messages import message_class
from udtf.errors import InvalidArgument

FLIGHT_SQL = "arrow.flight.protocol.sql"
TYPE_URL_PREFIX = "type.googleapis.com/"


class MalformedMessage(InvalidArgument):
    """Bytes that are not the message they should be."""


class UnsupportedMessage(InvalidArgument):
    """A well packed Flight SQL message that has no dataclass here; `name` is its name without the package."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is not supported")


@dataclass(frozen=True)
class Message:
    """A protobuf message; a subclass names its package."""

    package: ClassVar[str] = FLIGHT_SQL


# ---- Statements


@dataclass(frozen=True)
class CommandStatementQuery(Message):
    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True)
class TicketStatementQuery(Message):
    statement_handle: bytes


class TableNotExist(IntEnum):
    """What bulk ingestion does where the table is missing."""

    UNSPECIFIED = 0
    CREATE = 1
    FAIL = 2


class TableExists(IntEnum):
    """What bulk ingestion does where the table is there."""

    UNSPECIFIED = 0
    FAIL = 1
    APPEND = 2
    REPLACE = 3


@dataclass(frozen=True)
class TableDefinitionOptions(Message):
    package: ClassVar[str] = f"{FLIGHT_SQL}.CommandStatementIngest"
    if_not_exist: int = TableNotExist.UNSPECIFIED
    if_exists: int = TableExists.UNSPECIFIED


@dataclass(frozen=True)
class CommandStatementIngest(Message):
    table: str
    table_definition_options: TableDefinitionOptions | None = None
    schema: str | None = None
    catalog: str | None = None
    temporary: bool = False
    transaction_id: bytes | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class DoPutUpdateResult(Message):
    """`record_count` rows were changed; -1: not known. Travels bare."""

    record_count: int


# ---- Prepared statements


@dataclass(frozen=True)
class ActionCreatePreparedStatementRequest(Message):
    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True)
class ActionCreatePreparedStatementResult(Message):
    """Schemas are IPC messages, empty where there is none."""

    prepared_statement_handle: bytes
    dataset_schema: bytes
    parameter_schema: bytes
    is_update: bool | None = None


@dataclass(frozen=True)
class ActionClosePreparedStatementRequest(Message):
    prepared_statement_handle: bytes


@dataclass(frozen=True)
class CommandPreparedStatementQuery(Message):
    prepared_statement_handle: bytes


@dataclass(frozen=True)
class DoPutPreparedStatementResult(Message):
    """The handle to use from now on. Travels bare."""

    prepared_statement_handle: bytes | None = None


# ---- What there is to query


@dataclass(frozen=True)
class CommandGetCatalogs(Message):
    pass


@dataclass(frozen=True)
class CommandGetDbSchemas(Message):
    catalog: str | None = None
    db_schema_filter_pattern: str | None = None


@dataclass(frozen=True)
class CommandGetTables(Message):
    catalog: str | None = None
    db_schema_filter_pattern: str | None = None
    table_name_filter_pattern: str | None = None
    table_types: tuple[str, ...] = ()
    include_schema: bool = False


@dataclass(frozen=True)
class CommandGetTableTypes(Message):
    pass


@dataclass(frozen=True)
class CommandGetSqlInfo(Message):
    info: tuple[int, ...] = ()


# ---- Tickets of this server


@dataclass(frozen=True)
class QueryTicket(Message):
    """All that is needed to run a query; see `flightsrv/server/tickets.py`."""

    package: ClassVar[str] = "flightsrv"
    sql: str
    parameters: bytes | None = None
    prepared_statement_handle: bytes | None = None
    range_begin_ns: int | None = None
    range_end_ns: int | None = None
    strict: bool = False
    preserve_dictionary: bool = False


# ---- To bytes and back

M = TypeVar("M", bound=Message)


def _full_name(message: type[Message]) -> str:
    return f"{message.package}.{message.__name__}"


_TYPES: dict[str, type[Message]] = {_full_name(message): message for message in Message.__subclasses__()}


def encode(message: Message) -> bytes:
    """The bare bytes of a message."""
    encoded: bytes = _to_protobuf(message).SerializeToString()
    return encoded


def decode(message_type: type[M], data: bytes) -> M:
    """Read a message that travels bare.

    Raises:
        MalformedMessage: the bytes are no such message.
    """
    return _from_protobuf(message_type, _parse(_full_name(message_type), data))


def pack(message: Message) -> bytes:
    """The bytes of a message, wrapped in Any."""
    wrapped = message_class("google.protobuf.Any")(
        type_url=TYPE_URL_PREFIX + _full_name(type(message)), value=encode(message)
    )
    packed: bytes = wrapped.SerializeToString()
    return packed


def unpack(data: bytes) -> Message:
    """Read a message that travels in Any.

    Raises:
        MalformedMessage: the bytes are no Any, hold something else than Flight SQL, or not what they say. A
            message sent without its Any mostly parses as one, its first text taken for the type, so only types
            of known packages are believed.
        UnsupportedMessage: a Flight SQL message that has no dataclass here.
    """
    wrapped = _parse("google.protobuf.Any", data)
    full_name = wrapped.type_url.rpartition("/")[2]
    message_type = _TYPES.get(full_name)
    if message_type is not None:
        return decode(message_type, wrapped.value)
    package, _, name = full_name.rpartition(".")
    if package == FLIGHT_SQL and name.isidentifier():
        raise UnsupportedMessage(name)
    raise MalformedMessage("expected a Flight SQL message wrapped in google.protobuf.Any")


def _parse(full_name: str, data: bytes) -> Any:
    try:
        return message_class(full_name).FromString(data)
    except DecodeError as e:
        raise MalformedMessage(f"the bytes given are not a message of type {full_name}") from e


def _to_protobuf(message: Message) -> Any:
    values = {}
    for part in fields(message):
        value = getattr(message, part.name)
        if value is not None:
            values[part.name] = _to_protobuf(value) if isinstance(value, Message) else value
    return message_class(_full_name(type(message)))(**values)


def _from_protobuf(message_type: type[M], parsed: Any) -> M:
    described = parsed.DESCRIPTOR.fields_by_name
    return message_type(**{part.name: _value(parsed, described[part.name]) for part in fields(message_type)})


def _value(parsed: Any, described: Any) -> Any:
    value = getattr(parsed, described.name)
    if described.has_presence and not parsed.HasField(described.name):
        return None
    if described.message_type is None:
        return tuple(value) if described.is_repeated else value
    if described.message_type.GetOptions().map_entry:
        return dict(value)
    return _from_protobuf(_TYPES[described.message_type.full_name], value)
