"""Programs of Debian packages are found, or the test that needs them is skipped."""

from pathlib import Path

import pytest

from tests.support.debian import find_program, program_or_skip


def test_the_newest_version_is_found(tmp_path: Path) -> None:
    """Of several installed versions the highest number counts, not the last in the alphabet."""
    for version in ("9", "15"):
        program = tmp_path / "usr/lib/postgresql" / version / "bin/postgres"
        program.parent.mkdir(parents=True)
        program.touch()
    assert find_program("postgresql", tmp_path) == tmp_path / "usr/lib/postgresql/15/bin/postgres"


def test_a_missing_package_skips_and_says_so(tmp_path: Path) -> None:
    """The skipped test tells which package it wanted and how to install it."""
    with pytest.raises(pytest.skip.Exception, match="needs Debian's package chromium: apt-get install chromium"):
        program_or_skip("chromium", tmp_path)
