"""A lake says which version of the program made it, and a program opens what it can read."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from udtf.errors import StoreRefused
from udtf.lake.lake import Lake
from udtf.lake.metadata import versions


def execute(folder: Path, statement: str) -> None:
    engine = sa.create_engine(f"sqlite:///{folder / 'metadata.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def test_a_lake_of_a_newer_program_is_refused_in_words(tmp_path: Path) -> None:
    """It says which version the lake has, and which ones can be read."""
    Lake.open(str(tmp_path)).close()
    execute(tmp_path, f"UPDATE lake SET version = {versions.VERSION + 1}")
    with pytest.raises(StoreRefused, match=f"version {versions.VERSION + 1}.*up to version {versions.VERSION}"):
        Lake.open(str(tmp_path))


def test_a_lake_without_a_version_is_refused_in_words(tmp_path: Path) -> None:
    """Before there were versions, a lake had a table of blocks."""
    execute(tmp_path, "CREATE TABLE blocks (block_id TEXT)")
    execute(tmp_path, "CREATE TABLE processes (process_id TEXT)")
    with pytest.raises(StoreRefused, match="version 1, of before the first release"):
        Lake.open(str(tmp_path))


def test_an_older_lake_is_migrated_step_by_step_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version once, in order; then it is of the newest one."""
    Lake.open(str(tmp_path)).close()
    steps: list[int] = []
    newest = versions.VERSION + 2
    monkeypatch.setattr(versions, "VERSION", newest)
    migrations = {number: lambda _, number=number: steps.append(number) for number in (newest - 1, newest)}
    monkeypatch.setattr(versions, "MIGRATIONS", migrations)
    for _ in range(2):
        Lake.open(str(tmp_path)).close()
    assert steps == [newest - 1, newest]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake keeps its version, and can still be opened by the program that made it."""
    Lake.open(str(tmp_path)).close()

    def fail(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE half_done (column_1 TEXT)"))
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(versions, "MIGRATIONS", {versions.VERSION + 1: fail})
        patch.setattr(versions, "VERSION", versions.VERSION + 1)
        with pytest.raises(RuntimeError):
            Lake.open(str(tmp_path))
    Lake.open(str(tmp_path)).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'metadata.db'}")
    assert not sa.inspect(engine).has_table("half_done")
    engine.dispose()
