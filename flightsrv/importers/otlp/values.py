"""Values of attributes, bodies of log records and names, as text that the lake takes."""

import json
from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from udtf.lake.block_format import MAX_TEXT_BYTES

Json = str | bool | int | float | None | list["Json"] | dict[str, "Json"]

_MORE = "…"


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
    return "" if plain is None else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, AnyValue]:
    """By key; of those that come twice, which must not be, the last."""
    return {pair.key: pair.value for pair in pairs}


def property_text(text: str) -> str:
    """A text that every database takes."""
    return text.replace("\0", "�")


def event_text(text: str) -> str:
    """A text that an event may have: one that is too long is cut, and ends with an ellipsis."""
    if len(text) * 4 <= MAX_TEXT_BYTES:
        return text
    encoded = text.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return text
    return encoded[: MAX_TEXT_BYTES - len(_MORE.encode())].decode(errors="ignore") + _MORE
