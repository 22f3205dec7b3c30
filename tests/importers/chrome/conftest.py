"""A lake for what is imported."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.places import local_place
from udtf.lake.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = local_place(tmp_path / "lake").open()
    yield lake
    lake.close()
