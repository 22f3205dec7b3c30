"""Messages out of bytes that a stranger sent, and in and out of `google.protobuf.Any`.

In Any travel commands in descriptors and tickets, bodies and results of Flight SQL actions. Bare travel results of
DoPut, bodies and results of actions that Flight itself defines.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from flightsrv.wire import flight_pb2, flight_sql_pb2, ticket_pb2
from udtf.errors import InvalidArgument

MAX_REPEATED = 10_000
"""Most values of a field that is a list or a map: each becomes an object of Python where it is read."""


class MalformedMessage(InvalidArgument):
    """Bytes that are not the message they should be."""


class UnsupportedMessage(InvalidArgument):
    """A well packed message that Flight SQL does not have here; `name` is its name without the package."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is not supported")


M = TypeVar("M", bound=Message)

FLIGHT_SQL = flight_sql_pb2.DESCRIPTOR.package

_TYPES: Mapping[str, type[Message]] = {
    kind.DESCRIPTOR.full_name: kind
    for module in (flight_pb2, flight_sql_pb2, ticket_pb2)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message)
}


def decode(message_type: type[M], data: bytes) -> M:
    """Read a message that travels bare. What it has beyond the fields that are known here is dropped.

    Raises:
        MalformedMessage: the bytes are no such message, or a list in it has more than MAX_REPEATED values.
    """
    try:
        message = message_type.FromString(data)
    except DecodeError as e:
        name = message_type.DESCRIPTOR.full_name
        raise MalformedMessage(f"the bytes given are not a message of type {name}") from e
    message.DiscardUnknownFields()
    _check_repeated(message)
    return message


def pack(message: Message) -> bytes:
    """The bytes of a message, wrapped in Any."""
    wrapped = AnyMessage()
    wrapped.Pack(message)
    packed: bytes = wrapped.SerializeToString()
    return packed


def unpack(data: bytes) -> Message:
    """Read a message that travels in Any.

    Raises:
        MalformedMessage: the bytes are no Any, hold something else than Flight SQL, or not what they say. A
            message sent without its Any mostly parses as one, its first text taken for the type, so only types
            of known packages are believed.
        UnsupportedMessage: a message of Flight SQL that is not known here.
    """
    wrapped = decode(AnyMessage, data)
    full_name = wrapped.type_url.rpartition("/")[2]
    message_type = _TYPES.get(full_name)
    if message_type is not None:
        return decode(message_type, wrapped.value)
    package, _, name = full_name.rpartition(".")
    if package == FLIGHT_SQL and name.isidentifier():
        raise UnsupportedMessage(name)
    raise MalformedMessage("expected a Flight SQL message wrapped in google.protobuf.Any")


def _check_repeated(message: Message) -> None:
    for field in _fields_to_check(message.DESCRIPTOR):
        if not field.is_repeated:
            if message.HasField(field.name):
                _check_repeated(getattr(message, field.name))
            continue
        values = getattr(message, field.name)
        if len(values) > MAX_REPEATED:
            raise MalformedMessage(f"{field.name} has {len(values)} values, at most {MAX_REPEATED} are read")
        for value in values.values() if isinstance(values, Mapping) else values:
            if isinstance(value, Message):
                _check_repeated(value)


@cache
def _fields_to_check(kind: Descriptor) -> Sequence[FieldDescriptor]:
    """Those of a message that are lists or maps, or may have some in them."""
    return [field for field in kind.fields if field.is_repeated or field.message_type is not None]
