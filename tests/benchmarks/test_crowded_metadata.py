"""A database is filled with rows that the code of the lake reads, and is asked."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.crowded_metadata import main


@pytest.mark.slow
def test_a_database_is_filled_and_asked(tmp_path: Path) -> None:
    """The whole history of each process is found, also where stretches are larger than the template."""
    options = ["--db", f"sqlite:///{tmp_path / 'metadata.db'}", "--processes", "3", "--uploads", "64", "--days", "0.1"]
    result = CliRunner().invoke(main, options, catch_exceptions=False)
    assert result.exit_code == 0
    rows = [int(number.replace(",", "")) for number in re.findall(r": ([\d,]+) segments", result.output)]
    # Of the template, of three processes, of one with 68 times as many, and of 50 further uploads each time.
    assert rows == [64 + 50, 64 * (1 + 3 + 68) + 100, 64 * (1 + 3 + 68) + 150]
