"""The program that the demo records, when something goes wrong in one of its threads."""

import threading
from collections.abc import Callable

import pytest

from flightsrv.demo import archive


class Broken(Exception):
    """What goes wrong."""


def break_down(*_: object) -> bytes:
    raise Broken


def break_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_digest", break_down)


def break_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_METHODS", {"none": (break_down, break_down)})


def break_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_visit", break_down)


def lose_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_METHODS", {"none": (bytes, lambda _: b"")})


@pytest.mark.parametrize(
    ("go_wrong", "error"),
    [(break_hashing, Broken), (break_compression, Broken), (break_parsing, Broken), (lose_a_piece, ValueError)],
)
def test_a_failure_in_a_thread_ends_the_program(
    go_wrong: Callable[[pytest.MonkeyPatch], None], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets that error, and no thread of the program is left, nor waits for another."""
    before = set(threading.enumerate())
    go_wrong(monkeypatch)
    with pytest.raises(error):
        archive.archive_standard_library(1000)
    assert set(threading.enumerate()) <= before


def test_an_interruption_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while files are handed out reaches the caller once all threads have ended."""
    before = set(threading.enumerate())

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_source_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        archive.archive_standard_library(1000)
    assert set(threading.enumerate()) <= before
