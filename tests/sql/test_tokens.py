"""Tokens of statements, placeholders above all."""

from udtf.sql.tokens import Token, placeholders, tokens


def test_placeholders_are_found_where_sql_has_them() -> None:
    """Not in text, quoted names, comments and words."""
    sql = """SELECT a$1, ?, '?''?' AS "x?y" -- ?
        /* ? /* ? */ ? */ FROM t WHERE $1<=E'\\'?' AND `?`::int != $$ ? $$ OR $q$ ? $$ $q$ = $22"""
    found = list(placeholders(sql))
    assert [placeholder.text for placeholder in found] == ["?", "$1", "$22"]
    assert all(sql[token.position : token.end] == token.text for token in found)
    assert list(placeholders("a - ?")) == [Token("placeholder", 4, "?")]


def test_what_is_left_open_hides_placeholders() -> None:
    """As DataFusion reads it."""
    for sql in ("SELECT '?", 'SELECT "?', "SELECT /* ?", "SELECT $$ ?"):
        assert not list(placeholders(sql))


def test_tokens_have_kinds() -> None:
    """Comments, numbers and operators are none."""
    sql = """SELECT "a""b", f('x', $$y$$)[1] -- z\n <= ?;"""
    assert [(token.kind, token.text) for token in tokens(sql)] == [
        ("word", "SELECT"),
        ("name", '"a""b"'),
        ("mark", ","),
        ("word", "f"),
        ("mark", "("),
        ("text", "'x'"),
        ("mark", ","),
        ("text", "$$y$$"),
        ("mark", ")"),
        ("mark", "["),
        ("mark", "]"),
        ("placeholder", "?"),
        ("mark", ";"),
    ]
