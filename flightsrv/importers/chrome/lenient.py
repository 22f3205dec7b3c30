"""Objects that are not quite JSON, read as far as they can be understood.

Programs that write their trace by hand write `nan`, `0x1f`, `True`, commas before closing brackets, and backslashes
of Windows paths. Where braces and quotes are in order, one can tell what belongs to which key, whatever the values are.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Scan = Callable[[str, int], tuple[Any, int]]
"""Reads one JSON value: the text and a position to the value and the position behind it. Raises one of `NOT_JSON`."""

NOT_JSON = (StopIteration, ValueError, ArithmeticError, RecursionError)
"""What Python's scanner and the readers of numbers in it raise; too deep and too long a value among them."""

_STRING = r'"(?:[^"\\]++|\\.)*+"'
_KEY = re.compile(rf"[\s,]*+({_STRING})\s*+:\s*+", re.DOTALL)
_END = re.compile(r"[\s,]*+\}")
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_BARE = re.compile(r'[^\s,{}\[\]"]++')
_AFTER_VALUE = re.compile(r"\s*+(?=[,}])")
_BRACES = re.compile(rf'{_STRING}|["{{}}]', re.DOTALL)
_BRACKETS = re.compile(rf'{_STRING}|["\[\]]', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\/])')


class NotUnderstood(Exception):
    """There is no telling what belongs to which key."""


class Unreadable:
    """Stands for a value that is not JSON."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def read_object(text: str, start: int, scan: Scan, *, inner: bool = False) -> tuple[dict[str, Any], int]:
    """The object whose brace opens at `start`, and the position behind it.

    Values that are not JSON are `Unreadable`; objects in it are read like it, but what is `inner` to them is only
    skipped, so that the time which this takes does not grow with the depth.

    Raises:
        NotUnderstood: a brace or a quote is missing or too many.
    """
    values: dict[str, Any] = {}
    position = start + 1
    while (key := _KEY.match(text, position)) is not None:
        values[_string(key[1], scan)], position = _value(text, key.end(), scan, inner)
    if (end := _END.match(text, position)) is None:
        raise NotUnderstood
    return values, end.end()


def skip(text: str, start: int) -> int | None:
    """The position behind the object or the list that opens at `start`; None if it has no end."""
    opening = text[start]
    depth = 0
    for found in (_BRACES if opening == "{" else _BRACKETS).finditer(text, start):
        mark = found[0]
        if mark == '"':
            return None  # of a string without an end, in which nothing is a brace
        if mark[0] != '"':
            depth += 1 if mark == opening else -1
            if not depth:
                return found.end()
    return None


def skip_string(text: str, start: int) -> int | None:
    """The position behind the string that opens at `start`; None if it has no end."""
    string = _WHOLE_STRING.match(text, start)
    return string.end() if string else None


def _value(text: str, start: int, scan: Scan, inner: bool) -> tuple[Any, int]:
    try:
        value, end = scan(text, start)
        if _AFTER_VALUE.match(text, end):
            return value, end
    except NOT_JSON:
        pass
    if text.startswith(("{", "["), start):
        if (end_of_value := skip(text, start)) is None:
            raise NotUnderstood
        if text[start] == "{" and not inner:
            with suppress(NotUnderstood):
                value, end = read_object(text, start, scan, inner=True)
                # Where a bracket is missing, a list in it may seem to end far behind.
                return (value if end == end_of_value else None), end_of_value
        return None, end_of_value
    if (string := _WHOLE_STRING.match(text, start)) and _AFTER_VALUE.match(text, string.end()):
        return _string(string[0], scan), string.end()
    if (bare := _BARE.match(text, start)) and _AFTER_VALUE.match(text, bare.end()):
        return Unreadable(bare[0]), bare.end()
    raise NotUnderstood


def _string(quoted: str, scan: Scan) -> str:
    """What a string says; as it is written, where its escapes are none."""
    try:
        text: str = scan(quoted, 0)[0]
    except NOT_JSON:
        return _ESCAPED.sub(r"\1", quoted[1:-1])
    return text
