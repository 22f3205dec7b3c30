"""An engine over an empty lake: what is tested needs no rows but those that statements make."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.preparing_engine import PreparingEngine
from udtf.functions.settings import QuerySettings
from udtf.lake.lake import Lake
from udtf.lake.settings import MIB
from udtf.sql.engine import QueryEngine


@pytest.fixture(scope="module")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """Without telemetry."""
    lake = Lake.open(str(tmp_path_factory.mktemp("sql") / "lake"))
    yield lake
    lake.close()


@pytest.fixture
def engine(empty_lake: Lake) -> Iterator[QueryEngine]:
    """With little memory for each query, and room for two that compute. What it plans, it prepares as well."""
    settings = QuerySettings(memory_bytes=128 * MIB, query_memory_bytes=64 * MIB, max_wait_s=60.0)
    made = PreparingEngine(empty_lake, settings)
    yield made
    made.close()


@pytest.fixture
def lake_folder(tmp_path: Path) -> Path:
    """Where a lake may be begun."""
    return tmp_path / "lake"
