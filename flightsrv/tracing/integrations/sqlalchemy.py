"""A span for each statement that SQLAlchemy executes, named by its text; values of parameters are not in it."""

from typing import Any

from sqlalchemy import Engine, event

from flightsrv.tracing.async_spans import AsyncSpan, async_span
from flightsrv.tracing.integrations.names import Names
from flightsrv.tracing.recorder import span

_SPAN = "_flightsrv_span"


def trace_engine(engine: Any) -> None:
    """Trace an `Engine` or an `AsyncEngine`: spans of the thread, or of the task."""
    engine = getattr(engine, "sync_engine", engine)
    if not isinstance(engine, Engine):
        raise TypeError(f"expected an Engine or an AsyncEngine, not {type(engine).__name__}")
    names = Names()

    def begin(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        text = " ".join(statement.split())
        name = names.bounded(text, text.partition(" ")[0][:20] or "SQL")
        made = async_span(name) if engine.dialect.is_async else span(name)
        _begin(made)
        setattr(context, _SPAN, made)

    def end(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        _end(context)

    def fail(failure: Any) -> None:
        _end(failure.execution_context)

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)


def _begin(made: Any) -> None:
    if isinstance(made, AsyncSpan):
        made.begin()
    else:
        made.__enter__()


def _end(context: Any) -> None:
    """End the span of an execution, if it has one that goes on."""
    made = getattr(context, _SPAN, None)
    if made is None:
        return
    delattr(context, _SPAN)
    if isinstance(made, AsyncSpan):
        made.end()
    else:
        made.__exit__(None, None, None)
