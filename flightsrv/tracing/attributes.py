"""Attributes of spans, lines of logs and instants: what the program notes of them.

In the thread that records they are settled: made of values that do not change later. The sender makes bytes of them,
one entry after the other, each of key size, type, key and value (`udtf/lake/attributes.py` describes them).
"""

import json
import struct
from collections.abc import Callable, Iterable
from typing import Any

from flightsrv.tracing.scopes import cut, sendable

TEXT, INTEGER, FLOAT, BOOLEAN, JSON = range(5)
"""Types of values."""
MAX_BYTES = (1 << 13) - 1
"""Of the attributes of an event."""
MAX_KEY_BYTES = 255
MAX_TEXT_BYTES = 4095
"""Longer ones are cut."""
DROPPED = "dropped_attributes"
"""How many did not fit into `MAX_BYTES`, or found no room until they could be sent."""
ERROR = "error"
"""Whether an exception left the span."""

Noted = tuple[int, dict[str, Any], int]
"""In place of the code of an event that has attributes: code, attributes, and how many characters they have."""

_CHARS_OF_ANY = 16
"""Of the key and the number of an attribute, about."""
_DROPPED_BYTES = 2 + len(DROPPED) + 8


class Json(str):
    """Text that is JSON."""

    __slots__ = ()


def settle(attributes: dict[str, Any]) -> int:
    """Replace values that are neither numbers nor short texts by what stays of them, in place: of lists and dicts JSON,
    of anything else its text. Returns the number of characters, about."""
    chars = _CHARS_OF_ANY * len(attributes)
    for key, value in attributes.items():
        kind = type(value)
        if kind is str:
            chars += len(value)
            if len(value) > MAX_TEXT_BYTES:
                attributes[key] = _settled(value)
        elif kind is not int and kind is not float and kind is not bool:
            settled = attributes[key] = _settled(value)
            chars += len(settled)
    return chars


def raised(error: BaseException | None) -> dict[str, Any]:
    """The attributes of a span that an exception left; those that end iterations and generators are no errors."""
    if isinstance(error, StopIteration | StopAsyncIteration | GeneratorExit):
        return {}
    attributes: dict[str, Any] = {ERROR: True}
    if error is not None:
        attributes["error.type"] = type(error).__qualname__
        attributes["error.message"] = cut(sendable(error), MAX_TEXT_BYTES)
    return attributes


def encode(attributes: dict[str, Any]) -> bytes:
    """The bytes of attributes, of any values."""
    parts: list[bytes] = []
    try:
        # What most are: short texts and numbers, under keys that were seen before.
        for key, value in attributes.items():
            kind = type(value)
            head = _heads[kind][key]
            if kind is str:
                data = value.encode()
                parts += (head, _SIZES[len(data)], data)
            else:
                parts += (head, _PACKERS[kind](value))
    except Exception:
        return _encode_any(attributes)
    data = b"".join(parts)
    return data if len(data) <= MAX_BYTES else _encode_any(attributes)


def _encode_any(attributes: dict[str, Any]) -> bytes:
    entries = [_entry(key, value) for key, value in attributes.items()]
    if sum(map(len, entries)) <= MAX_BYTES:
        return b"".join(entries)
    kept: list[bytes] = []
    room = MAX_BYTES - _DROPPED_BYTES
    for entry in entries:
        if len(entry) <= room:
            kept.append(entry)
            room -= len(entry)
    return b"".join([*kept, _entry(DROPPED, len(entries) - len(kept))])


def _settled(value: object) -> str:
    if isinstance(value, list | tuple | dict) or value is None:
        try:
            text = json.dumps(value, default=sendable, ensure_ascii=False, allow_nan=False)
        except Exception:
            return cut(sendable(value), MAX_TEXT_BYTES)
        whole = sendable(text)
        return Json(whole) if len(whole.encode()) <= MAX_TEXT_BYTES else cut(whole, MAX_TEXT_BYTES)
    return cut(sendable(value), MAX_TEXT_BYTES)


def _entry(key: object, value: object) -> bytes:
    kind = type(value)
    if kind in _PACKERS:
        try:
            return _head(key, kind) + _PACKERS[kind](value)
        except struct.error:  # an integer of more than 64 bits
            value = sendable(value)
    text = value if isinstance(value, str) else _settled(value)
    is_json = type(text) is Json
    data = (text if is_json else cut(sendable(text), MAX_TEXT_BYTES)).encode()
    return _head(key, Json if is_json else str) + len(data).to_bytes(2, "little") + data


def _head(key: object, kind: type) -> bytes:
    """Size of the key, type, and key."""
    known = _heads[kind].get(key) if type(key) is str else None
    if known is None:
        name = sendable(key).encode()[:MAX_KEY_BYTES].decode("utf-8", "ignore").encode() or b"?"
        known = bytes((len(name), _TYPES[kind])) + name
        if len(_heads[kind]) < _MAX_HEADS and type(key) is str:
            _heads[kind][key] = known
    return known


_TYPES: dict[type, int] = {str: TEXT, int: INTEGER, float: FLOAT, bool: BOOLEAN, Json: JSON}
_PACKERS: dict[type, Callable[..., bytes]] = {
    int: struct.Struct("<q").pack,
    float: struct.Struct("<d").pack,
    bool: struct.Struct("<?").pack,
}
_SIZES = [size.to_bytes(2, "little") for size in range(256)]
"""Of short texts."""
_heads: dict[type, dict[Any, bytes]] = {kind: {} for kind in _TYPES}
_MAX_HEADS = 4096


def noted_chars(items: Iterable[Any]) -> int:
    """Characters of the attributes among the codes of some events."""
    return sum(item[2] for item in items if type(item) is tuple)
