"""What pytest loads wherever this package is installed: an option. Spans of tests are made by
`flightsrv.tracing.integrations.pytest_plugin`, which is loaded only if the tests are recorded."""

import sys

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("flightsrv").addoption(
        "--flightsrv-trace",
        metavar="URL",
        help="record the tests, and send to the HTTP port of a flightsrv server; for a file: "
        "flightsrv run --to FILE.pftrace -m pytest",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--flightsrv-trace") or "flightsrv.tracing.recorder" in sys.modules:
        from flightsrv.tracing.integrations import pytest_plugin

        config.pluginmanager.register(pytest_plugin, "flightsrv tracing")
