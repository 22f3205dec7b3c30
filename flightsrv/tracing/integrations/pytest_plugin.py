"""A plugin for pytest: spans for tests, their setup, call and teardown, and for fixtures.

`flightsrv.pytest_plugin` loads it. It records into what records the process from the start:
`flightsrv run --to tests.pftrace -m pytest`, `pytest --flightsrv-trace http://HOST:PORT`, or a `tracing.start` in the
first conftest.py.
"""

from collections.abc import Generator
from typing import Any

import pytest

from flightsrv.tracing.recorder import active, span
from flightsrv.tracing.session import Session, start

_SESSION = pytest.StashKey[Session]()


def pytest_configure(config: pytest.Config) -> None:
    url = config.getoption("--flightsrv-trace")
    if url:
        try:
            config.stash[_SESSION] = start(url)
        except ValueError as error:
            raise pytest.UsageError(f"--flightsrv-trace: {error}") from None
    if active() is not None:
        config.pluginmanager.register(_Spans())


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(_SESSION, None)
    if session is not None:
        session.stop()


class _Spans:
    """The hooks that make them. They are registered only where the whole run is recorded: tests that start a recording
    of their own expect no other spans in it."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        with span(item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
        with span("setup"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, Any, Any]:
        with span("call"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, Any, Any]:
        with span("teardown"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        with span(f"fixture {fixturedef.argname}"):
            return (yield)
