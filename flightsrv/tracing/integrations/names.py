"""Names of spans that are made from what comes from outside, of which there must not be too many."""

from flightsrv.tracing.scopes import sendable

MAX_NAMES = 1000
MAX_LENGTH = 200


class Names:
    """Keeps apart so many names, and gives what is common to them for further ones."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def bounded(self, name: str, general: str) -> str:
        """`name`, or `general` if there are too many names already."""
        text = sendable(name)[:MAX_LENGTH]
        if text not in self._known:
            if len(self._known) >= MAX_NAMES:
                return general
            self._known.add(text)
        return text


def without_numbers(path: str) -> str:
    """The path of a URL, with `*` for parts that have a digit, which mostly name one thing of many: `/users/17`."""
    return "/".join("*" if any(map(str.isdigit, part)) else part for part in path.split("/"))
