"""A server that answers for months keeps nothing of a query that has ended."""

import gc
import weakref

import pytest

from tests.model.lake import Reader
from udtf.errors import InvalidArgument
from udtf.functions.query_context import QueryContext


class Listener:
    """Takes messages; gone when nobody can send any."""

    def __call__(self, message: dict[str, object]) -> None:
        pass


def _is_forgotten(reader: Reader, sql: str, *, batches: int | None) -> bool:
    """Whether nothing holds on to a query's listener, after so many batches of it were read; None is all."""
    listener = Listener()
    reference = weakref.ref(listener)
    query = reader.engine.plan(sql, QueryContext(on_message=listener))
    rows = query.batches()
    for _ in range(1_000_000 if batches is None else batches):
        if next(rows, None) is None:
            break
    rows.close()
    del listener, query, rows
    gc.collect()
    return reference() is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM processes",
        "SELECT count(*) FROM streams JOIN processes USING (process_id)",
        "SELECT * FROM list_partitions() ORDER BY path",
        "EXPLAIN SELECT * FROM processes",
    ],
)
@pytest.mark.parametrize("batches", [None, 0], ids=["all read", "nothing read"])
def test_a_query_that_ended_is_forgotten(reader: Reader, sql: str, batches: int | None) -> None:
    """Whatever plan it had, and however far it was read."""
    assert _is_forgotten(reader, sql, batches=batches)


def test_a_statement_that_was_refused_is_forgotten(reader: Reader) -> None:
    """With its error goes all that it knew of."""
    listener = Listener()
    reference = weakref.ref(listener)
    with pytest.raises(InvalidArgument):
        reader.engine.plan("SELECT * FROM view_instance('fibers', 'x')", QueryContext(on_message=listener))
    del listener
    gc.collect()
    assert reference() is None
