"""Statements of SQLAlchemy, on real databases."""

import asyncio
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from flightsrv import tracing
from flightsrv.tracing.integrations.sqlalchemy import trace_engine
from tests.tracing.recorded import MemorySink, async_tree, noted_at_ends, settings, tree


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def test_statements_are_spans(sink: MemorySink) -> None:
    """By their texts, without values; those that fail end as well, and other engines are left alone."""
    engine, other = sa.create_engine("sqlite://"), sa.create_engine("sqlite://")
    trace_engine(engine)
    with engine.connect() as connection, tracing.span("work"):
        connection.execute(sa.text("SELECT\n  :secret AS n"), {"secret": "x" * 10})
        with pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.text("SELECT * FROM nothing"))
        connection.execute(sa.text("SELECT 2"))
    with other.connect() as connection:
        connection.execute(sa.text("SELECT 3"))
    tracing.flush()
    assert tree(sink.of_thread("MainThread")) == "work\n  SELECT ? AS n\n  SELECT * FROM nothing\n  SELECT 2"
    first, failed, last, _ = noted_at_ends(sink.of_thread("MainThread"))
    assert (first, last) == ({"sql": "SELECT ? AS n"}, {"sql": "SELECT 2"})
    assert failed["error.type"] == "OperationalError"
    assert 'near "nothing"' in failed["error.message"]


def test_statements_of_tasks_are_async_spans(sink: MemorySink) -> None:
    """Of tasks that take turns, each below its own."""

    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        trace_engine(engine)

        async def ask(number: int) -> None:
            async with tracing.async_span(f"task {number}"), engine.connect() as connection:
                await connection.execute(sa.text(f"SELECT {number}"))

        await asyncio.gather(ask(1), ask(2))
        await engine.dispose()

    asyncio.run(main())
    tracing.flush()
    assert {"task 1", "  SELECT 1", "task 2", "  SELECT 2"} == set(
        async_tree(sink.of_thread("MainThread", "async")).splitlines()
    )


def test_anything_else_is_refused() -> None:
    """In words."""
    with pytest.raises(TypeError, match="expected an Engine or an AsyncEngine, not str"):
        trace_engine("sqlite://")
