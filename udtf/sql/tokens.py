"""As much of the lexer of DataFusion's SQL as it takes to tell placeholders, words and brackets from text, quoted names
and comments."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      --[^\n]*
    | (?P<comment> /\*)
    | (?P<text> [eE]'(?:[^'\\]|\\.|'')*'? | '(?:[^']|'')*'? | \$(?P<tag>\w*)\$ .*? (?:\$(?P=tag)\$|\Z))
    | (?P<name> "(?:[^"]|"")*"? | `(?:[^`]|``)*`?)
    | (?P<word> [^\W\d][\w$]*)
    | (?P<placeholder> \?|\$\w*)
    | (?P<mark> [()\[\],;])
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = ("text", "name", "word", "placeholder", "mark")
_COMMENT_MARK = re.compile(r"/\*|\*/")


class Token(NamedTuple):
    """A part of a statement.

    Attributes:
        kind: "text" for what is in single quotes or between dollars, "name" for a quoted name, "word" for an unquoted
            name or a keyword, "placeholder" for `?` and `$1`, "mark" for a bracket, a comma or a semicolon.
        position: where it begins.
    """

    kind: str
    position: int
    text: str

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.position + len(self.text)


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of a statement, in order. Comments, numbers and operators are left out."""
    position = 0
    while found := _TOKEN.search(sql, position):
        position = found.end()
        if found["comment"]:
            position = _end_of_comment(sql, position)
            continue
        for kind in _KINDS:
            if found[kind]:
                yield Token(kind, found.start(), found[0])


def placeholders(sql: str) -> Iterator[Token]:
    """The placeholders of a statement, in order."""
    return (token for token in tokens(sql) if token.kind == "placeholder")


def _end_of_comment(sql: str, position: int) -> int:
    """Where the comment ends that was opened before `position`; comments nest."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(sql, position)):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position if depth == 0 else len(sql)
