"""Text out of a file of unknown origin, made fit to be stored and shown."""

from decimal import Decimal
from typing import Any

MAX_CHARACTERS = 1 << 14
"""Of a name that is kept; more than anything can show, and so few that a block of long names has room."""
_MAX_ID = 1 << 64


def text_of(value: Any) -> str:
    """What stands for a value where text is expected; it may need `fit`."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def fit(text: str) -> str:
    """The text without what no database or viewer takes.

    NUL, which pads names of fixed size, goes. Halves of surrogate pairs and bytes that are not UTF-8 become question
    marks.
    """
    if len(text) > MAX_CHARACTERS:
        text = text[: MAX_CHARACTERS - 1] + "…"
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def id_of(value: Any) -> str:
    """A process's or a thread's id as text; the same for 7, 7.0 and "7"."""
    if isinstance(value, Decimal) and abs(value) < _MAX_ID and value == int(value):
        value = int(value)
    return fit(text_of(value))
