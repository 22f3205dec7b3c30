"""Placeholders of statements."""

from udtf.sql.tokens import Placeholder, placeholders


def test_placeholders_are_found_where_sql_has_them() -> None:
    """Not in text, quoted names, comments and words."""
    sql = """SELECT a$1, ?, '?''?' AS "x?y" -- ?
        /* ? /* ? */ ? */ FROM t WHERE $1<=E'\\'?' AND `?`::int != $$ ? $$ OR $q$ ? $$ $q$ = $22"""
    found = list(placeholders(sql))
    assert [placeholder.text for placeholder in found] == ["?", "$1", "$22"]
    assert all(sql[position:].startswith(text) for position, text in found)
    assert list(placeholders("a - ?")) == [Placeholder(4, "?")]


def test_what_is_left_open_hides_placeholders() -> None:
    """As DataFusion reads it."""
    for sql in ("SELECT '?", 'SELECT "?', "SELECT /* ?", "SELECT $$ ?"):
        assert not list(placeholders(sql))
