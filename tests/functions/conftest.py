"""One lake for all of these tests: every process has ids of its own, so none sees another's telemetry."""

from collections.abc import Iterator

import pytest

from tests.model.lake import Reader
from tests.model.places import Place, local_place
from udtf.lake.lake import Lake


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return local_place(tmp_path_factory.mktemp("functions") / "lake")


@pytest.fixture(scope="session")
def lake(place: Place) -> Iterator[Lake]:
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def reader(lake: Lake) -> Reader:
    return Reader.of(lake)
