"""Messages to bytes and back.

`pack` and `unpack` are for what travels in `google.protobuf.Any`: commands in descriptors and tickets, bodies and
results of Flight SQL actions. `encode` and `decode` are for what travels bare: results of DoPut, bodies and results of
actions that Flight itself defines.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from flightsrv.wire import action_messages, commands, flight_messages
from flightsrv.wire.message import FLIGHT_SQL, Message
from flightsrv.wire.pool import message_class
from udtf.errors import InvalidArgument

TYPE_URL_PREFIX = "type.googleapis.com/"


MAX_REPEATED = 10_000
"""Most values of a field that is a list or a map: each becomes an object of Python."""


class MalformedMessage(InvalidArgument):
    """Bytes that are not the message they should be."""


class UnsupportedMessage(InvalidArgument):
    """A well packed Flight SQL message that has no dataclass here; `name` is its name without the package."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is not supported")


M = TypeVar("M", bound=Message)


def _full_name(message: type[Message]) -> str:
    return f"{message.package}.{message.__name__}"


_TYPES: dict[str, type[Message]] = {
    _full_name(kind): kind
    for module in (commands, flight_messages, action_messages)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message)
}


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
    values = {part.name: _encodable(getattr(message, part.name)) for part in fields(message)}
    return message_class(_full_name(type(message)))(**values)


def _encodable(value: Any) -> Any:
    match value:
        case Message():
            return _to_protobuf(value)
        case tuple():
            return [_encodable(item) for item in value]
        case Mapping():
            return {key: _encodable(item) for key, item in value.items()}
    return value


def _from_protobuf(message_type: type[M], parsed: Any) -> M:
    described = parsed.DESCRIPTOR.fields_by_name
    return message_type(**{part.name: _field(parsed, described[part.name]) for part in fields(message_type)})


def _field(parsed: Any, described: Any) -> Any:
    value = getattr(parsed, described.name)
    if described.has_presence and not parsed.HasField(described.name):
        return None
    kind = described.message_type
    if described.is_repeated and len(value) > MAX_REPEATED:
        raise MalformedMessage(f"{described.name} has {len(value)} values, at most {MAX_REPEATED} are read")
    if kind is not None and kind.GetOptions().map_entry:
        return {key: _decoded(item, kind.fields_by_name["value"].message_type) for key, item in value.items()}
    return tuple(_decoded(item, kind) for item in value) if described.is_repeated else _decoded(value, kind)


def _decoded(value: Any, kind: Any) -> Any:
    return value if kind is None else _from_protobuf(_TYPES[kind.full_name], value)
