"""Tokens of DataFusion's SQL: as much of its lexer as it takes to tell code from text, quoted names and comments."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from udtf.errors import InvalidArgument

_TOKEN = re.compile(
    r"""
      --[^\n]*
    | (?P<comment> /\*)
    | [eE]'(?:[^'\\]|\\.|'')*'?
    | '(?:[^']|'')*'?
    | "(?:[^"]|"")*"?
    | `(?:[^`]|``)*`?
    | \$(?P<tag>\w*)\$ .*? (?:\$(?P=tag)\$|\Z)
    | (?P<word> [^\W\d][\w$]*)
    | (?P<placeholder> \?|\$\w*)
    | \d[\w.]*
    | (?P<operator> \|\||::|[<>!]=|<>|[-+*/%<>=|&^\#~!@])
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_CHAINING_WORDS = frozenset({"and", "or", "union", "intersect", "except", "join", "like", "ilike", "is", "between"})

MAX_OPERATORS = 2000
"""A chain of operators is a deep tree to a planner, which takes seconds for this many, and ends the process when it
runs out of stack, at ten times as many."""


class Token(NamedTuple):
    """A token that is code, where it begins, and its kind: word, placeholder or operator."""

    kind: str
    position: int
    text: str


def tokens(sql: str) -> Iterator[Token]:
    """Words, placeholders and operators of a statement."""
    position = 0
    while found := _TOKEN.search(sql, position):
        position = found.end()
        if found["comment"]:
            position = _end_of_comment(sql, position)
        elif found.lastgroup in ("word", "placeholder", "operator"):
            yield Token(found.lastgroup, found.start(), found[0])


def check_size(sql: str) -> None:
    """Raise InvalidArgument if a statement has too many operators to be planned."""
    count = sum(
        token.kind == "operator" or (token.kind == "word" and token.text.lower() in _CHAINING_WORDS)
        for token in tokens(sql)
    )
    if count > MAX_OPERATORS:
        raise InvalidArgument(
            f"a statement may have {MAX_OPERATORS} operators, given: {count}; to compare with many values, use IN (...)"
        )


def _end_of_comment(sql: str, position: int) -> int:
    """Where the comment ends that was opened before `position`; comments nest."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(sql, position)):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position if depth == 0 else len(sql)
