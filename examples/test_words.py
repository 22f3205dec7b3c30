"""Tests that are traced: `pytest --flightsrv-trace http://127.0.0.1:8080 examples/test_words.py`, or, without a server,
`flightsrv run --to tests.pftrace -m pytest examples/test_words.py`."""

from collections import Counter

import pytest

from flightsrv import tracing


@pytest.fixture
def words() -> list[str]:
    return ["to", "be", "or", "not", "to", "be"]


def test_words_are_counted(words: list[str]) -> None:
    with tracing.span("count"):
        counted = Counter(words)
    assert counted["be"] == 2
