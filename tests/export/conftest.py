"""A lake, and a dataset that is exported from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.model.lake import Reader
from tests.model.telemetry import Process
from udtf.export.dataset import Dataset
from udtf.export.export import Outcome, export
from udtf.export.tables import TABLES
from udtf.lake.lake import Lake
from udtf.lake.time_range import ALL_TIME, TimeRange

HOUR_S = 3600


@dataclass(frozen=True)
class Exported:
    """A lake and the folder of its export."""

    lake: Lake
    folder: Path

    def outcomes(self, process: Process, time_range: TimeRange = ALL_TIME) -> list[Outcome]:
        """Export a process, and what became of each file."""
        return list(export(self.lake, Dataset(str(self.folder)), TABLES, time_range, [process.process_id]))

    def written(self, process: Process, time_range: TimeRange = ALL_TIME) -> list[str]:
        """Export a process; the new files, as `table/hour`."""
        before = self._files(process)
        outcomes = self.outcomes(process, time_range)
        assert [outcome.error for outcome in outcomes if outcome.error is not None] == []
        after = self._files(process)
        new = [path for path, inode in after.items() if before.get(path) != inode]
        assert len(new) == sum(outcome.nb_rows > 0 for outcome in outcomes)
        return sorted(f"{path.parts[0]}/{path.parts[2].removeprefix('hour=')}" for path in new)

    def rows(self, table: str, process: Process) -> list[dict[str, Any]]:
        """What DuckDB reads in the dataset, its partition columns included."""
        if not (self.folder / table).exists():
            return []
        sql = f"SELECT * FROM read_parquet('{self.folder}/{table}/**/*.parquet') WHERE process_id = ?"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            found = connection.execute(sql, [process.process_id])
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _files(self, process: Process) -> dict[Path, int]:
        """A file that is replaced is another one of the same name."""
        found = self.folder.glob(f"*/*/*/{process.process_id}.parquet")
        return {path.relative_to(self.folder): path.stat().st_ino for path in found}


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    opened = Lake.open(str(tmp_path_factory.mktemp("export") / "lake"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def reader(lake: Lake) -> Reader:
    return Reader.of(lake)


@pytest.fixture
def exported(lake: Lake, tmp_path: Path) -> Exported:
    return Exported(lake, tmp_path / "dataset")
