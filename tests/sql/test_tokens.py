"""Tokens of statements, and how many operators there may be."""

from pathlib import Path

import pytest

from udtf.errors import InvalidArgument
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine
from udtf.sql.tokens import MAX_OPERATORS, Token, check_size, tokens


def test_tokens_are_found_where_sql_has_them() -> None:
    """Not in text, quoted names, comments and numbers."""
    sql = """SELECT a.b+1.5e3 /* - /* - */ - */ || '-''-' AS "x-y" -- and - or
        FROM t WHERE $1<=E'\\'-' AND `-`::int != ?"""
    assert [(token.kind, token.text) for token in tokens(sql)] == [
        *(("word", "SELECT"), ("word", "a"), ("word", "b"), ("operator", "+"), ("operator", "||"), ("word", "AS")),
        *(("word", "FROM"), ("word", "t"), ("word", "WHERE"), ("placeholder", "$1"), ("operator", "<=")),
        *(("word", "AND"), ("operator", "::"), ("word", "int"), ("operator", "!="), ("placeholder", "?")),
    ]
    assert list(tokens("a - b")) == [Token("word", 0, "a"), Token("operator", 2, "-"), Token("word", 4, "b")]


@pytest.mark.parametrize("operator", ["+", "||", "AND", "or", "UNION", "- "])
def test_chain_of_operators_has_an_end(operator: str) -> None:
    """The planner would run out of stack, and the process end."""
    check_size(f" {operator} ".join(["1"] * (MAX_OPERATORS + 1)))
    with pytest.raises(InvalidArgument, match=r"given: 2001; .* use IN"):
        check_size(f" {operator} ".join(["1"] * (MAX_OPERATORS + 2)))


def test_long_text_and_lists_are_no_chains() -> None:
    """They may be as long as anybody likes."""
    check_size("SELECT '" + "+" * 100_000 + "', a IN (" + ",".join(["'-'"] * 10_000) + ")")


def test_engine_refuses_what_it_cannot_plan(tmp_path: Path) -> None:
    """Whoever asks it."""
    lake = Lake.open(str(tmp_path))
    engine = QueryEngine(lake)
    try:
        for sql in ("SELECT " + "+".join(["1"] * 50_000), "SELECT " + "(" * 50_000, "SELECT " + "[" * 50_000):
            with pytest.raises(InvalidArgument):
                engine.plan(sql)
    finally:
        engine.close()
        lake.close()
