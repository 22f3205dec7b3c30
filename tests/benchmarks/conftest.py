"""Servers of benchmarks, as far as they are no test of how they start, without the time that they take for it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import servers
from tests.support.forked import ForkedProgram


@pytest.fixture(autouse=True, scope="package")
def forked() -> Iterator[None]:
    """They are forked."""

    def started(module: Sequence[str], log: Path, environment: Mapping[str, str]) -> ForkedProgram:
        return ForkedProgram(module[0], module[1:], log, piped=True, environment=environment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "_started", started)
        yield
