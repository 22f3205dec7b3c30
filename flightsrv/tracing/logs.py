"""Logs: lines of `logging`, and instants, each of the thread that it happened in."""

import logging
from typing import Any

from flightsrv.tracing.recorder import active
from flightsrv.tracing.scopes import Scope, calling_scope, cut, sendable

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
        filtered = self.filter(record)
        if filtered:
            self.emit(filtered if isinstance(filtered, logging.LogRecord) else record)
        return bool(filtered)

    def emit(self, record: logging.LogRecord) -> None:
        """Record what was logged. Raises nothing: what cannot be formatted is recorded as it was given."""
        recorder = active()
        if recorder is None:
            return
        # Before it is formatted, which adds fields.
        extra = _extra_of(record) if len(record.__dict__) > _NB_FIELDS else None
        try:
            text = self.format(record)
        except Exception:
            text = record.msg
        scope = _scope(record.funcName, record.name, record.pathname, record.lineno)
        recorder.threads.log.add(recorder.scopes.code_of(scope), _level(record.levelno), cut(sendable(text)), extra)


_FIELDS = logging.LogRecord("", 0, "", 0, "", None, None).__dict__.keys()
_NB_FIELDS = len(_FIELDS)
_FIELDS_OF_FORMATTERS = {"message", "asctime"}


def _extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What was given with a record besides its own fields."""
    names = record.__dict__.keys() - _FIELDS - _FIELDS_OF_FORMATTERS
    return {name: record.__dict__[name] for name in sorted(names, key=str)}


def _scope(name: object, target: object, filename: object, line: object) -> Scope:
    number = line if isinstance(line, int) and 0 <= line <= _MAX_LINE else 0
    return Scope(sendable(name or ""), sendable(target), sendable(filename), number)


def _level(number: object) -> int:
    """Of a level of `logging`, which may be any number."""
    if not isinstance(number, int) or number < logging.DEBUG:
        return TRACE
    return min(DEBUG + (number - logging.DEBUG) // 10, FATAL)
