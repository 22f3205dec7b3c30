"""What DataFusion reads otherwise than PostgreSQL: changed, or refused in words.

Tests of mistakes ask the bare engine as well. They fail as soon as it is right: then nothing needs to be refused.
"""

from collections.abc import Sequence

import datafusion
import pytest

from tests.sql.rows import rows
from udtf.errors import InvalidArgument
from udtf.sql.engine import QueryEngine
from udtf.sql.worker.dialect import ENGINE_FUNCTIONS, UNORDERED_AGGREGATES, check_distinct_from, with_known_names

ROWS = "(VALUES (1, 1, 5, true), (1, 2, NULL, false), (1, NULL, 7, true), (2, 3, 1, true), (2, 4, NULL, NULL))"
"""Of columns g, k, v and b; nulls in k and v stand in different rows."""


@pytest.fixture(scope="module")
def bare() -> datafusion.SessionContext:
    """DataFusion without us."""
    config = datafusion.SessionConfig().with_information_schema(True)
    return datafusion.SessionContext(config.set("datafusion.sql_parser.dialect", "postgresql"))


def answer(context: datafusion.SessionContext, sql: str) -> object:
    """Rows, or None where it fails, by a panic or otherwise."""
    try:
        return context.sql(sql).to_arrow_table().to_pylist()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


# ---- Names


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("SELECT * FROM RANGE(3)", "SELECT * FROM range(3)"),
        ('SELECT * FROM Range /* ( */ (3), "range"(4)', "SELECT * FROM range /* ( */ (3), range(4)"),
        *((sql, sql) for sql in ("SELECT 'RANGE('", 'SELECT "RANGE"(3)', "SELECT RANGE FROM t -- RANGE(")),
        ("SELECT ranges(1), arrange(2)", "SELECT ranges(1), arrange(2)"),
    ],
)
def test_names_of_functions_are_folded_as_other_names(sql: str, known: str) -> None:
    """Where they are called, and not in quotes."""
    assert with_known_names(sql, ["range"]) == known


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM RANGE(3)",
        'SELECT count(*) AS n FROM "range"(3)',
        "SELECT count(*) AS n FROM Generate_Series(1, 3)",
        "WITH Spans AS (SELECT * FROM List_View_Sets()) SELECT least(COUNT(*), 3) AS N FROM SPANS",
    ],
)
def test_functions_are_found_however_their_names_are_written(engine: QueryEngine, sql: str) -> None:
    """As tables, columns and scalar functions are."""
    assert rows(engine, sql) == [{"n": 3}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT PROCESS_ID FROM Processes",
        "SELECT Processes.Process_Id FROM DATAFUSION.PUBLIC.PROCESSES",
        "SELECT P.PROCESS_ID FROM processes AS p WHERE UPPER(p.EXE) = 'X'",
        "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE FALSE",
        "SELECT CHUNK_ID FROM PERFETTO_TRACE_CHUNKS($1, 'both', $2, $3)",
    ],
)
def test_unquoted_names_have_no_case(engine: QueryEngine, sql: str) -> None:
    """None of them; the columns of the result are in lower case."""
    assert [name for name in engine.prepare(sql).schema.names if name != name.lower()] == []


def test_quoted_names_have_a_case(engine: QueryEngine) -> None:
    """That of the table function is lower."""
    with pytest.raises(InvalidArgument, match="RANGE"):
        rows(engine, 'SELECT * FROM "RANGE"(3)')


def test_functions_of_the_engine_are_those_that_are_known(bare: datafusion.SessionContext) -> None:
    """All that there are without ours."""
    routines = "SELECT DISTINCT routine_name AS n FROM information_schema.routines WHERE function_type = 'TABLE'"
    listed = {row["n"] for row in bare.sql(routines).to_pylist()}
    assert listed <= set(ENGINE_FUNCTIONS)
    for name in ENGINE_FUNCTIONS:
        assert answer(bare, f"SELECT * FROM {name}(1, 2)") is not None


# ---- IS DISTINCT FROM


@pytest.mark.parametrize(
    "condition",
    [
        "a IS DISTINCT FROM b AND c",
        "a IS NOT DISTINCT FROM b OR c",
        "a is distinct from coalesce(b, c) /* and */ and c",
        "a IS DISTINCT FROM left(b, 1) AND c",
        "a IS DISTINCT FROM CASE WHEN b AND c THEN a END OR c",
        "a IS DISTINCT FROM b BETWEEN 1 AND 2 AND c",
        "c AND (a IS DISTINCT FROM (b) OR c)",
    ],
)
def test_distinct_from_without_brackets_is_refused(condition: str) -> None:
    """Where another condition follows it."""
    for sql in (f"SELECT {condition}", f"SELECT 1 FROM t WHERE {condition} GROUP BY a", f"SELECT 1, ({condition}), 2"):
        with pytest.raises(InvalidArgument, match=r"write it in parentheses: \(a IS DISTINCT FROM b\) (AND|OR) c"):
            check_distinct_from(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT (a IS DISTINCT FROM b) AND c",
        "SELECT c AND a IS DISTINCT FROM b",
        "SELECT a IS DISTINCT FROM (b AND c)",
        "SELECT a IS DISTINCT FROM b, c AND d",
        "SELECT a IS DISTINCT FROM b AS x FROM t WHERE c AND d",
        "SELECT 1 FROM t WHERE a IS DISTINCT FROM b GROUP BY c HAVING c AND d",
        "SELECT 1 FROM t JOIN u ON t.a IS NOT DISTINCT FROM u.a LEFT JOIN v ON c AND d",
        "SELECT CASE WHEN a IS DISTINCT FROM b THEN c AND d END",
        "SELECT a IS DISTINCT FROM b BETWEEN 1 AND 2",
        "SELECT DISTINCT a FROM t WHERE b AND c",
        "SELECT 'a IS DISTINCT FROM b AND c'",
        "SELECT count(DISTINCT a) FROM t WHERE b AND c",
    ],
)
def test_what_is_clear_is_let_through(sql: str) -> None:
    """Nothing follows on the same level."""
    check_distinct_from(sql)


def test_the_bare_engine_still_misreads_distinct_from(bare: datafusion.SessionContext) -> None:
    """The value of PostgreSQL is false: (true IS DISTINCT FROM true) AND false."""
    assert answer(bare, "SELECT true IS DISTINCT FROM true AND false AS v") == [{"v": True}]


# ---- ORDER BY in aggregates


def calls(name: str) -> Sequence[str]:
    """Arguments that an aggregate may take."""
    return ("v + 0", "b", "b, v", "v, k", "v, 0.5", "v, 1, 0.5", "v::text, ','")


def with_order(context: datafusion.SessionContext, name: str) -> list[tuple[object, object]]:
    """For each way to call an aggregate: its answers without and with an ORDER BY in it."""
    answers = []
    for arguments in calls(name):
        for grouping, column in (("", ""), (" GROUP BY g ORDER BY g", "g, ")):
            sql = f"SELECT {column}{name}({arguments}{{}}) AS x FROM {ROWS} AS t(g, k, v, b){grouping}"
            plain = answer(context, sql.format(""))
            if plain is not None:
                answers.append((plain, answer(context, sql.format(" ORDER BY k"))))
    return answers


@pytest.mark.parametrize("name", sorted(UNORDERED_AGGREGATES))
def test_the_bare_engine_still_cannot_order_what_needs_no_order(bare: datafusion.SessionContext, name: str) -> None:
    """It counts other rows, panics, or complains of columns."""
    answers = with_order(bare, name)
    assert answers, "no way to call it is known"
    assert any(plain != ordered for plain, ordered in answers)


@pytest.mark.parametrize("name", ["sum", "bool_and", "bool_or", "corr", "covar_samp", "regr_slope", "approx_distinct"])
def test_the_engine_ignores_an_order_elsewhere(bare: datafusion.SessionContext, name: str) -> None:
    """So it is let through."""
    answers = with_order(bare, name)
    assert answers
    assert all(plain == ordered for plain, ordered in answers)


@pytest.mark.parametrize(
    "sql",
    [
        *(f"SELECT {name}(v ORDER BY k) FROM {ROWS} AS t(g, k, v, b)" for name in sorted(UNORDERED_AGGREGATES)),
        f"SELECT (SELECT COUNT(DISTINCT v /* , */ ORDER BY k DESC) FROM {ROWS} AS t(g, k, v, b))",
        f"SELECT g FROM {ROWS} AS t(g, k, v, b) GROUP BY g HAVING max(abs(v) order by k) > 1",
    ],
)
def test_an_order_that_the_engine_does_not_understand_is_refused(engine: QueryEngine, sql: str) -> None:
    """Wherever it stands."""
    with pytest.raises(InvalidArgument, match="takes no ORDER BY, on which its result does not depend; leave it out"):
        rows(engine, sql)


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [
        ("array_agg(v ORDER BY k DESC)", [7, None, 1, None, 5]),
        ("first_value(v ORDER BY v DESC NULLS LAST)", 7),
        ("last_value(g ORDER BY g)", 2),
        ("string_agg(v::text, ',' ORDER BY v)", "1,5,7"),
        ("sum(v ORDER BY k)", 13),
        ("percentile_cont(0.5) WITHIN GROUP (ORDER BY v)", 5),
        ("count((SELECT max(value) FROM range(3)))", 5),
        ("max(v) > (SELECT value FROM range(3) ORDER BY value LIMIT 1)", True),
    ],
)
def test_other_orders_are_understood(engine: QueryEngine, aggregate: str, value: object) -> None:
    """As they are in windows and subqueries."""
    assert rows(engine, f"SELECT {aggregate} AS x FROM {ROWS} AS t(g, k, v, b)") == [{"x": value}]
    windowed = f"SELECT count(v) OVER (PARTITION BY g ORDER BY k) AS x FROM {ROWS} AS t(g, k, v, b) ORDER BY x LIMIT 1"
    assert rows(engine, windowed) == [{"x": 1}]
    named = "SELECT count > (SELECT value FROM range(9) ORDER BY value LIMIT 1) AS x FROM (VALUES (1)) AS t(count)"
    assert rows(engine, named) == [{"x": True}]
    assert rows(engine, "SELECT count(*) AS x FROM (SELECT value FROM range(4) ORDER BY value LIMIT 2)") == [{"x": 2}]
