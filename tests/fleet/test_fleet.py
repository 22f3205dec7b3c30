"""The fleet shows all that its programs have recorded, though a server is killed meanwhile."""

import pytest

from tests.fleet.run import run_fleet
from tests.support.debian import program_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]


def test_nothing_is_lost() -> None:
    """By either server, whose traces are the same; Dask's workers make the partitions."""
    program_or_skip("postgresql")
    told: list[str] = []
    outcome = run_fleet(told.append, seconds=4.0, nb_programs=3)
    assert outcome.failures == []
    assert len(outcome.recorded) == 3
    assert all(recorded.spans > 0 for recorded in outcome.recorded)
    assert "server 2 is there again" in told
    assert any(line.startswith("  handle_request") and line.endswith("3 processes") for line in told)
