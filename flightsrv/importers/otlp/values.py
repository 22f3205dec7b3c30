"""Values of attributes, bodies of log records and names, as text that the lake takes."""

import json
from collections.abc import Collection, Iterable, Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from flightsrv.tracing.scopes import cut
from udtf.lake.block_format import MAX_TEXT_BYTES

Json = str | bool | int | float | None | list["Json"] | dict[str, "Json"]


def to_json(value: AnyValue) -> Json:
    """A value as JSON has it; bytes become hexadecimal digits."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "bytes_value":
            return value.bytes_value.hex()
        case "array_value":
            return [to_json(element) for element in value.array_value.values]
        case "kvlist_value":
            return {pair.key: to_json(pair.value) for pair in value.kvlist_value.values}
        case name:
            scalar: Json = getattr(value, name)
            return scalar


def to_text(value: AnyValue) -> str:
    """Text as it is, anything else as JSON; nothing is an empty text."""
    plain = to_json(value)
    if isinstance(plain, str):
        return plain
    if type(plain) is int:
        return str(plain)
    return "" if plain is None else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, AnyValue]:
    """By key; of those that come twice, which must not be, the last."""
    return {pair.key: pair.value for pair in pairs}


def values_of(attributes: Mapping[str, AnyValue], without: Collection[str] = ()) -> dict[str, Json]:
    """Attributes as an event may have them, but for some; what has no value is none."""
    values = {key: to_json(value) for key, value in attributes.items() if key not in without}
    return {key: value for key, value in values.items() if value is not None}


def property_text(text: str) -> str:
    """A text that every database takes."""
    return text.replace("\0", "�")


def event_text(text: str) -> str:
    """A text that an event may have: one that is too long is cut, and ends with an ellipsis."""
    return cut(text, MAX_TEXT_BYTES)
