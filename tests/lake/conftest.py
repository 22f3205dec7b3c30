"""Every behaviour of the lake is asked for in each place that a lake may live."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.lake import Reader
from tests.model.places import Place, local_place, s3_place
from udtf.lake.lake import Lake


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql), "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty lake's addresses: SQLite and a folder, PostgreSQL and a folder, SQLite and S3."""
    folder = tmp_path / "lake"
    if request.param == "postgresql":
        return local_place(folder, request.getfixturevalue("postgresql_url"))
    if request.param == "s3":
        return s3_place(request.getfixturevalue("s3_url"), f"sqlite:///{tmp_path / 'lake.sqlite'}")
    return local_place(folder)


@pytest.fixture
def lake(place: Place) -> Iterator[Lake]:
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture
def reader(lake: Lake) -> Reader:
    return Reader.of(lake)
