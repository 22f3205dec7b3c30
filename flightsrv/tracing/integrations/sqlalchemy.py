"""A span for each statement that SQLAlchemy executes, named by its text, with the attributes `sql` and, where the
driver tells, `rows`; values of parameters are not in it."""

from typing import Any

from sqlalchemy import Engine, event

from flightsrv.tracing.async_spans import AsyncSpan, async_span
from flightsrv.tracing.integrations.names import Names
from flightsrv.tracing.recorder import span

_SPAN = "_flightsrv_span"
_UNKNOWN = -1
"""In place of a number of rows."""


def trace_engine(engine: Any) -> None:
    """Trace an `Engine` or an `AsyncEngine`: spans of the thread, or of the task."""
    engine = getattr(engine, "sync_engine", engine)
    if not isinstance(engine, Engine):
        raise TypeError(f"expected an Engine or an AsyncEngine, not {type(engine).__name__}")
    names = Names()

    def begin(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        text = " ".join(statement.split())
        name = names.bounded(text, text.partition(" ")[0][:20] or "SQL")
        made = async_span(name, sql=text) if engine.dialect.is_async else span(name, sql=text)
        setattr(context, _SPAN, (made, _begin(made)))

    def end(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        _end(context, cursor.rowcount, None)

    def fail(failure: Any) -> None:
        _end(failure.execution_context, _UNKNOWN, failure.original_exception)

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)


def _begin(made: Any) -> Any:
    """Begin a span; returns what attributes of it are set by."""
    if not isinstance(made, AsyncSpan):
        return made.__enter__()
    made.begin()
    return made


def _end(context: Any, nb_rows: int, error: BaseException | None) -> None:
    """End the span of an execution, if it has one that goes on."""
    execution = getattr(context, _SPAN, None)
    if execution is None:
        return
    made, opened = execution
    delattr(context, _SPAN)
    if nb_rows != _UNKNOWN:
        opened.set(rows=nb_rows)
    if isinstance(made, AsyncSpan):
        made.end(error)
    else:
        made.__exit__(type(error) if error is not None else None, error, None)
