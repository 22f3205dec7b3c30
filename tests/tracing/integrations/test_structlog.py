"""Lines of structlog, which logs through `logging`."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from flightsrv import tracing
from flightsrv.client import connect
from tests.tracing.servers import tracing_server

NAME = "shop.structlog"


@pytest.fixture
def logger() -> Iterator[structlog.stdlib.BoundLogger]:
    """A logger as the docs have it, whose lines are recorded, and written nowhere else."""
    found, handler = logging.getLogger(NAME), tracing.LogHandler()
    found.addHandler(handler)
    found.setLevel(logging.DEBUG)
    found.propagate = False
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    yield structlog.get_logger(NAME)
    structlog.reset_defaults()
    found.removeHandler(handler)


def test_fields_of_structlog_are_attributes(logger: structlog.stdlib.BoundLogger, tmp_path: Path) -> None:
    """Those of a line, and those that its logger is bound to."""
    with tracing_server(str(tmp_path / "lake")) as server:
        session = tracing.start(server.http_url)
        logger.bind(customer="Ada", vip=True).warning("order is late", order=7, minutes=2.5)
        logger.debug("nothing to tell")
        session.stop()
        with connect(server.url) as client:
            sql = "SELECT level, target, msg, properties FROM view_instance('log_entries', $1) ORDER BY time"
            rows = client.query(sql, [session.process_id]).to_pylist()
    assert [(row["level"], row["target"], row["msg"]) for row in rows] == [
        ("warn", NAME, "order is late"),
        ("debug", NAME, "nothing to tell"),
    ]
    assert dict(rows[0]["properties"]) == {"customer": "Ada", "vip": "true", "order": "7", "minutes": "2.5"}
    assert rows[1]["properties"] == []
