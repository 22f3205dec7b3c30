"""Placeholders in statements, and values in their place."""

import datetime
import decimal

import datafusion
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.flightsql.parameters import literal, parse_statement
from udtf.errors import InvalidArgument

CONTEXT = datafusion.SessionContext(datafusion.SessionConfig().set("datafusion.sql_parser.dialect", "postgresql"))


def evaluate(expression: str) -> pa.Scalar:
    return CONTEXT.sql(f"SELECT {expression}").to_arrow_table().column(0)[0]


@pytest.mark.parametrize(
    ("sql", "numbered"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT $2 + $1 + $2", "SELECT $2 + $1 + $2"),
        ("SELECT f(?,'?',?)", "SELECT f($1,'?',$2)"),
        ("SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1"),
        (r"SELECT 'a\', ?", r"SELECT 'a\', $1"),
        (r"SELECT E'it\'s ?', ?", r"SELECT E'it\'s ?', $1"),
        ('SELECT "a?""?", ?', 'SELECT "a?""?", $1'),
        ("SELECT $$ ? $$, $q$ ? $$ $q$, ?", "SELECT $$ ? $$, $q$ ? $$ $q$, $1"),
        ("SELECT 1 -- ?\n + ?", "SELECT 1 -- ?\n + $1"),
        ("SELECT /* ? /* ? */ ? */ ?", "SELECT /* ? /* ? */ ? */ $1"),
        ("SELECT a$1, ?", "SELECT a$1, $1"),
        ("SELECT a FROM t LIMIT?", "SELECT a FROM t LIMIT $1"),
        ("SELECT E?, ?x, 'a'?, ?'b'", "SELECT E $1, $2 x, 'a' $3, $4 'b'"),
        ("SELECT 'open ?", "SELECT 'open ?"),
        ("SELECT /* open ?", "SELECT /* open ?"),
        ("SELECT $$ open ?", "SELECT $$ open ?"),
        ("", ""),
    ],
)
def test_placeholders_are_found_only_where_sql_has_them(sql: str, numbered: str) -> None:
    """Text, quoted names and comments keep their question marks and dollars."""
    assert parse_statement(sql).numbered() == numbered


@pytest.mark.parametrize("sql", ["SELECT ?, $1", "SELECT $2", "SELECT $0", "SELECT $name", "SELECT $999999999"])
def test_placeholders_that_cannot_be_counted_are_refused(sql: str) -> None:
    """Mixed styles, gaps, names and absurd numbers have no clear meaning."""
    with pytest.raises(InvalidArgument, match=r"parameter|\$"):
        parse_statement(sql)


def test_wrong_number_of_values_is_refused() -> None:
    """DataFusion would ignore values that are too many."""
    with pytest.raises(InvalidArgument, match="takes 1 parameters, given: 2"):
        parse_statement("SELECT ?").bound([pa.scalar(1), pa.scalar(2)])


@pytest.mark.parametrize(
    "value",
    [
        pa.scalar(-(1 << 63)),
        pa.scalar((1 << 64) - 1, pa.uint64()),
        pa.scalar(-3, pa.int8()),
        pa.scalar(7, pa.uint16()),
        pa.scalar(True),
        pa.scalar(0.1),
        pa.scalar(1e-300),
        pa.scalar(float("inf")),
        pa.scalar(float("nan")),
        pa.scalar(-1.5, pa.float32()),
        pa.scalar(1.5, pa.float16()),
        pa.scalar(""),
        pa.scalar("it's ? $1 \\ \n 'quoted'"),
        pa.scalar(b"\x00\xff"),
        pa.scalar(decimal.Decimal("-1.23"), pa.decimal128(10, 2)),
        pa.scalar(decimal.Decimal(10) ** 50, pa.decimal256(60, 0)),
        pa.scalar(datetime.date(2026, 1, 1)),
        pa.scalar(86_400_000, pa.date64()),
        pa.scalar(5, pa.time32("ms")),
        pa.scalar(5, pa.time64("ns")),
        pa.scalar(-5, pa.timestamp("ns")),
        pa.scalar((1 << 63) - 1, pa.timestamp("ns", "UTC")),
        pa.scalar(5, pa.timestamp("us", "Europe/Zurich")),
        pa.scalar(5, pa.duration("ns")),
        pa.scalar(None),
        pa.scalar(None, pa.utf8()),
        pa.scalar(None, pa.binary()),
        pa.scalar(None, pa.int32()),
        pa.scalar(None, pa.bool_()),
        pa.scalar(None, pa.timestamp("ns", "UTC")),
        pa.scalar(None, pa.decimal128(5, 1)),
    ],
    ids=lambda value: f"{value.type}: {value}",
)
def test_literal_has_value_and_type_of_the_scalar(value: pa.Scalar) -> None:
    """The engine reads back exactly what the client bound."""
    read = evaluate(literal(value))
    assert read.type == value.type
    assert read.equals(value) or str(read) == str(value) == "nan"


@pytest.mark.parametrize(
    "wrapped",
    [
        pa.array(["x"]).dictionary_encode()[0],
        pa.UnionArray.from_dense(pa.array([1], pa.int8()), pa.array([0], pa.int32()), [pa.array([7]), pa.array(["x"])])[
            0
        ],
        pa.scalar("x", pa.large_utf8()),
        pa.scalar("x", pa.string_view()),
    ],
    ids=lambda value: str(value.type),
)
def test_wrapped_text_becomes_plain_text(wrapped: pa.Scalar) -> None:
    """Some clients send every value as a union or a dictionary."""
    assert literal(wrapped) == "'x'"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_no_text_escapes_its_literal(text: str) -> None:
    """Whatever a value says, it stays one value, and holds no placeholder."""
    sql = literal(pa.scalar(text))
    assert parse_statement(sql).parameter_count == 0
    assert evaluate(sql).as_py() == text
