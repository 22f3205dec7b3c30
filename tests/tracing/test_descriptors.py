"""Descriptors whose numbers a program gives to files of its own while the recorder uses them."""

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from flightsrv.tracing.descriptors import closing, opened


def opened_file(folder: Path) -> tuple[AbstractContextManager[object], int]:
    """A file as it is used, and the number that it gets."""
    number = os.dup(0)
    os.close(number)
    return opened(str(folder / "ours"), os.O_RDWR | os.O_CREAT), number


def connection(folder: Path) -> tuple[AbstractContextManager[object], int]:
    """The same of a socket."""
    made = socket.socket()
    return closing(made), made.fileno()


@pytest.mark.parametrize("use", [opened_file, connection])
@pytest.mark.parametrize("is_failing", [False, True])
def test_a_number_that_was_given_away_is_left_alone(
    use: Callable[[Path], tuple[AbstractContextManager[object], int]], is_failing: bool, tmp_path: Path
) -> None:
    """However the use of it ends."""
    block, number = use(tmp_path)
    with suppress(ZeroDivisionError), block, (tmp_path / "theirs").open("w") as other:
        os.dup2(other.fileno(), number)
        if is_failing:
            raise ZeroDivisionError
    assert os.write(number, b"x") == 1
    os.close(number)
    assert (tmp_path / "theirs").read_text() == "x"


@pytest.mark.parametrize("use", [opened_file, connection])
def test_a_number_that_is_ours_is_closed(
    use: Callable[[Path], tuple[AbstractContextManager[object], int]], tmp_path: Path
) -> None:
    """When its use ends."""
    block, number = use(tmp_path)
    with block:
        os.fstat(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_connection_that_was_closed_already_fails(tmp_path: Path) -> None:
    """And what has its number by then is not closed."""
    made = socket.socket()
    number = made.fileno()
    os.close(number)
    with pytest.raises(OSError, match="Bad file descriptor"), closing(made):
        pass
    assert made.fileno() == -1
