"""For a moment each."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.run import fuzz
from tests.fuzz.targets import TARGETS


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no build for this Python and machine")
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_refusals(target: str, tmp_path: Path) -> None:
    """A thousand runs find no other exception, no crash, no hang, and no memory that grows."""
    outcome = fuzz(target, tmp_path, runs=1_000)
    assert outcome.is_well, outcome.printed[-4000:]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_taken(target: str) -> None:
    """They lead where there is something to find."""
    for seed in TARGETS[target].seeds:
        TARGETS[target].read(seed)
