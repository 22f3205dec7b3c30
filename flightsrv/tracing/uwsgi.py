"""What is different in a program that uWSGI runs, which forks its workers in C, and may run no threads but its own."""

import sys
from collections.abc import Callable
from typing import Any

_OPTIONS_OF_THREADS = ("enable-threads", "threads")


def lets_threads_run() -> bool:
    """Whether a thread that the program starts gets a turn; everywhere but in uWSGI it does."""
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    return options is None or any(name in options for name in _OPTIONS_OF_THREADS)


def follow_forks(follow: Callable[[], None]) -> None:
    """Have `follow` called in each process that uWSGI forks from now on. Harmless when repeated, and elsewhere.

    uWSGI tells Python of its forks only with the option `py-call-uwsgi-fork-hooks`, but has a hook of its own.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    earlier = getattr(uwsgi, "post_fork_hook", None)
    if uwsgi is not None and not isinstance(earlier, _Hook):
        uwsgi.post_fork_hook = _Hook(follow, earlier)


class _Hook:
    """The hook, which runs the one that was there before as well."""

    def __init__(self, follow: Callable[[], None], earlier: Callable[[], object] | None) -> None:
        self._follow = follow
        self._earlier = earlier

    def __call__(self) -> None:
        self._follow()
        if self._earlier is not None:
            self._earlier()
