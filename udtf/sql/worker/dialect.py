"""Where DataFusion reads SQL otherwise than PostgreSQL, and how a statement is changed, or refused, for that.

- Names of table functions are compared as they are written, in quotes or not.
- The operand of IS DISTINCT FROM takes all that follows: `a IS DISTINCT FROM b AND c` becomes
  `a IS DISTINCT FROM (b AND c)`.
- ORDER BY in an aggregate whose result does not depend on an order counts other rows, or fails.
"""

from collections.abc import Collection, Iterable

from udtf.errors import InvalidArgument
from udtf.sql.tokens import Token, tokens

ENGINE_FUNCTIONS = ("range", "generate_series")
"""Table functions of DataFusion."""


def with_known_names(sql: str, functions: Collection[str]) -> str:
    """The statement with the names of functions as they were registered: unquoted, and in lower case where they were
    unquoted."""
    changed = sql
    for name, bracket in reversed(list(_pairs(tokens(sql)))):
        known = _called(sql, name, bracket)
        if known in functions and known != name.text:
            changed = changed[: name.position] + known + changed[name.end :]
    return changed


def _pairs(found: Iterable[Token]) -> Iterable[tuple[Token, Token]]:
    previous = None
    for token in found:
        if previous is not None:
            yield previous, token
        previous = token


def _called(sql: str, name: Token, bracket: Token) -> str:
    """The function that is called, as PostgreSQL takes its name; empty where none is."""
    between = sql[name.end : bracket.position].lstrip()
    if bracket.text != "(" or (between and not between.startswith(("--", "/*"))):
        return ""
    return name.text.lower() if name.kind == "word" else name.text[1:-1] if name.kind == "name" else ""


_ENDS_OF_AN_OPERAND = frozenset(
    {
        *("as", "then", "when", "else", "where", "group", "having", "window", "qualify", "order", "limit", "offset"),
        *("fetch", "union", "except", "intersect", "join", "inner", "left", "right", "full", "cross", "natural", "on"),
        *("using", "from", "returning", "asc", "desc", "nulls"),
    }
)
_MAY_BE_FUNCTIONS = frozenset({"left", "right"})


def check_distinct_from(sql: str) -> None:
    """Raise InvalidArgument where AND or OR follows the right operand of IS DISTINCT FROM."""
    if "distinct" not in sql.lower():
        return
    found = list(tokens(sql))
    words = [token.text.lower() if token.kind in ("word", "mark") else "" for token in found]
    for start in range(len(words)):
        if words[start : start + 2] == ["distinct", "from"] and words[start - 1] in ("is", "not"):
            operator = _operator_after(words, start + 2)
            if operator:
                raise InvalidArgument(
                    f"IS DISTINCT FROM takes all that follows for its operand, {operator.upper()} included; write it "
                    f"in parentheses: (a IS DISTINCT FROM b) {operator.upper()} c"
                )


def _operator_after(words: list[str], start: int) -> str | None:
    """The AND or OR behind the operand that begins at `start`, on the same level; None if it ends without one."""
    depth = betweens = 0
    for number in range(start, len(words)):
        word = words[number]
        if word in ("(", "[", "case"):
            depth += 1
        elif word in (")", "]", "end"):
            depth -= 1
            if depth < 0:
                return None
        elif depth:
            continue
        elif word == "between":
            betweens += 1
        elif word == "and" and betweens:
            betweens -= 1
        elif word in ("and", "or"):
            return word
        elif word in (",", ";"):
            return None
        elif word in _ENDS_OF_AN_OPERAND:
            is_function = word in _MAY_BE_FUNCTIONS and words[number + 1 : number + 2] == ["("]
            if not is_function:
                return None
    return None


UNORDERED_AGGREGATES = frozenset(
    {
        *("count", "avg", "mean", "min", "max", "median", "bit_and", "bit_or", "bit_xor"),
        *("stddev", "stddev_pop", "stddev_samp"),
        *("var", "var_pop", "var_population", "var_samp", "var_sample"),
    }
)
"""Aggregates that DataFusion computes wrongly, or not at all, with an ORDER BY. None of them depends on it."""


def check_ordered_aggregates(sql: str) -> None:
    """Raise InvalidArgument for an aggregate with an ORDER BY that DataFusion does not understand."""
    called: list[str] = []  # the functions in whose brackets we are; empty for other brackets
    for previous, token in _pairs(tokens(sql)):
        if token.text == "(":
            called.append(_called(sql, previous, token))
        elif token.text == ")" and called:
            called.pop()
        elif (previous.text.lower(), token.text.lower()) != ("order", "by"):
            continue
        elif called and called[-1] in UNORDERED_AGGREGATES:
            name = called[-1]
            raise InvalidArgument(f"{name} takes no ORDER BY, on which its result does not depend; leave it out")
