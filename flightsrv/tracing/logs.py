"""Logs: lines of `logging`, and instants, each of the thread that it happened in."""

import logging
from contextlib import suppress
from typing import Any

from flightsrv.tracing.recorder import Recorder, active
from flightsrv.tracing.scopes import MAX_SCOPES, MAX_TEXT_BYTES, Scope, calling_scope, cut, sendable

NO_LEVEL, TRACE, DEBUG, INFO, WARN, ERROR, FATAL = range(7)
"""Levels of entries; instants have none."""

_MAX_LINE = (1 << 32) - 1


def instant(text: str, /, **attributes: Any) -> None:
    """Something happened, now, in the calling thread: `instant("cache emptied", entries=7)`.

    It belongs to the module, file and line of the caller. Texts are cut at 16,383 bytes; attributes are those of
    `span`.
    """
    recorder = active()
    if recorder is None:
        return
    code = recorder.scopes.code_of(calling_scope(2))
    recorder.threads.log.add(code, NO_LEVEL, cut(sendable(text)), attributes)


class LogHandler(logging.Handler):
    """Records what is logged: `logging.getLogger().addHandler(LogHandler())`.

    Of each record the level, the name of its logger as target, and what the formatter of the handler makes of it, which
    is by default the message, with the traceback of an exception, and as attributes what was given as `extra`. Texts
    are cut at 16,383 bytes. While nothing is recorded it does nothing. It needs no lock: each thread has a log of its
    own.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """As `logging.Handler` has it, without its lock."""
        if not self.filters and type(self).filter is logging.Handler.filter:
            self.emit(record)
            return True
        filtered = self.filter(record)
        if filtered:
            self.emit(filtered if isinstance(filtered, logging.LogRecord) else record)
        return bool(filtered)

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Handler` has it; faster without a formatter."""
        if self.formatter is None and not (record.exc_info or record.exc_text or record.stack_info):
            return record.getMessage()
        return super().format(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Record what was logged. Raises nothing: what cannot be formatted is recorded as it was given."""
        recorder = active()
        if recorder is None:
            return
        # Before it is formatted, which adds fields.
        fields = record.__dict__
        nb_others = len(fields) - _NB_FIELDS
        extra = _extra_of(record) if nb_others and nb_others > len(_FIELDS_OF_FORMATTERS & fields.keys()) else None
        try:
            text = self.format(record)
        except Exception:
            text = record.msg
        if type(text) is not str or len(text) > _MAX_PLAIN or not text.isascii() or "\0" in text:
            text = cut(sendable(text))
        place = record.name, record.pathname, record.lineno, record.funcName
        try:
            code = recorder.by_log_place[place]
        except Exception:  # it is new, or no place
            code = _code_of(recorder, place)
        try:
            level = _LEVELS[record.levelno]
        except Exception:
            level = _level(record.levelno)
        recorder.threads.log.add(code, level, text, extra)


_FIELDS = logging.LogRecord("", 0, "", 0, "", None, None).__dict__.keys()
_NB_FIELDS = len(_FIELDS)
_FIELDS_OF_FORMATTERS = {"message", "asctime"}
_KNOWN_FIELDS = _FIELDS | _FIELDS_OF_FORMATTERS
_MAX_PLAIN = MAX_TEXT_BYTES // 4
"""Characters of a text that fits in whatever they are."""


def _extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What was given with a record besides its own fields."""
    return {name: value for name, value in record.__dict__.items() if name not in _KNOWN_FIELDS}


def _code_of(recorder: Recorder, place: tuple[object, object, object, object]) -> int:
    """The code of the scope of what is logged at a place: logger, file, line, function. They may be anything."""
    target, filename, line, name = place
    number = line if isinstance(line, int) and 0 <= line <= _MAX_LINE else 0
    code = recorder.scopes.code_of(Scope(sendable(name or ""), sendable(target), sendable(filename), number))
    with suppress(Exception):
        if len(recorder.by_log_place) >= MAX_SCOPES:
            recorder.by_log_place.clear()
        recorder.by_log_place[place] = code
    return code


def _level(number: object) -> int:
    """Of a level of `logging`, which may be any number."""
    if not isinstance(number, int) or number < logging.DEBUG:
        return TRACE
    return min(DEBUG + (number - logging.DEBUG) // 10, FATAL)


_LEVELS = {number: _level(number) for number in range(0, logging.CRITICAL + 1, 10)}
