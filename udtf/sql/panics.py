"""Panics of DataFusion as ordinary exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager


class EnginePanic(Exception):
    """DataFusion broke off with a mistake of its own."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise EnginePanic for a panic, which is no `Exception`, and which their handlers would let pass."""
    try:
        yield
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":
            raise EnginePanic(str(error)) from error
        raise
