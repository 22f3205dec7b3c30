"""As much of the lexer of DataFusion's SQL as it takes to tell placeholders from text, quoted names and comments."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      --[^\n]*
    | (?P<comment> /\*)
    | [eE]'(?:[^'\\]|\\.|'')*'?
    | '(?:[^']|'')*'?
    | "(?:[^"]|"")*"?
    | `(?:[^`]|``)*`?
    | \$(?P<tag>\w*)\$ .*? (?:\$(?P=tag)\$|\Z)
    | [^\W\d][\w$]*
    | (?P<placeholder> \?|\$\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


class Placeholder(NamedTuple):
    """Where a value is left open, and how that is written: `?`, `$1`."""

    position: int
    text: str


def placeholders(sql: str) -> Iterator[Placeholder]:
    """The placeholders of a statement, in order."""
    position = 0
    while found := _TOKEN.search(sql, position):
        position = found.end()
        if found["comment"]:
            position = _end_of_comment(sql, position)
        elif found["placeholder"]:
            yield Placeholder(found.start(), found[0])


def _end_of_comment(sql: str, position: int) -> int:
    """Where the comment ends that was opened before `position`; comments nest."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(sql, position)):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position if depth == 0 else len(sql)
