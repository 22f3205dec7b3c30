"""Scopes: where spans come from in the source, each known to the recording path by a small number, its code."""

import itertools
import sys
from typing import NamedTuple

MAX_SCOPES = 65_536
"""Most scopes in a process. A program that makes up names as it runs must not fill the host's memory."""

OVERFLOW_CODE = 1

MAX_TEXT_BYTES = 16_383
"""Of an entry of a log, or a unit; longer ones are cut."""


class Scope(NamedTuple):
    """What a span has in common with all others of its place in the source."""

    name: str
    target: str
    filename: str
    line: int


def calling_scope(depth: int) -> Scope:
    """Where the caller of a caller, so many frames up, is: the name is that of its function."""
    frame = sys._getframe(depth)
    code = frame.f_code
    target = sendable(frame.f_globals.get("__name__", ""))
    return Scope(sendable(code.co_name), target, sendable(code.co_filename), frame.f_lineno or 0)


class ScopeTable:
    """Codes for scopes, from 1 on; an equal scope has the same code, however many threads ask.

    Takes no lock, because a signal handler that records may interrupt a thread that is in here.
    """

    def __init__(self) -> None:
        overflow = Scope("(more names than tracing keeps apart)", "", "", 0)
        self._codes = {overflow: OVERFLOW_CODE}
        self._scopes = {OVERFLOW_CODE: overflow}
        self._next_code = itertools.count(OVERFLOW_CODE + 1)

    def code_of(self, scope: Scope) -> int:
        """The code of a scope; when there are too many, that of the scope which stands for all further ones."""
        code = self._codes.get(scope)
        if code is not None:
            return code
        if len(self._codes) >= MAX_SCOPES:
            return OVERFLOW_CODE
        new = next(self._next_code)
        # Before any thread can learn the code, so that a reader of an event finds its scope.
        self._scopes[new] = scope
        return self._codes.setdefault(scope, new)

    def __getitem__(self, code: int) -> Scope:
        return self._scopes[code]

    def __len__(self) -> int:
        return len(self._codes)


def sendable(text: object) -> str:
    """Text that can be written as UTF-8 and kept in a database, of whatever was given: names of files may hold bytes
    that are no text, and those of threads anything."""
    if type(text) is str and text.isascii() and "\0" not in text:
        return text
    try:
        # Of a subclass of `str` its characters, whatever its methods say; it may not even have a hash.
        written = text if isinstance(text, str) else str(text)
        return str.encode(written, "utf-8", "replace").decode().replace("\0", "?")
    except Exception:
        return f"({type(text).__name__} that has no text)"


def cut(text: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Sendable text of at most so many bytes in UTF-8; where something is missing, it ends with an ellipsis."""
    if len(text) <= max_bytes // 4:
        return text
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - len("…".encode())].decode("utf-8", "ignore") + "…"
