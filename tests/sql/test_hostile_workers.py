"""Workers that an attacker has taken over: their statement fails, and nothing else."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from tests.sql import hostile_worker
from udtf.errors import InvalidArgument, UdtfError
from udtf.execution.cancellation import QueryCancelled
from udtf.execution.memory import resident_bytes
from udtf.functions.query_context import QueryContext
from udtf.lake.lake import Lake
from udtf.sql.engine import QueryEngine
from udtf.sql.messages import encode
from udtf.sql.panics import EnginePanic
from udtf.workers.channel import Channel
from udtf.workers.pool import WorkerPool

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def hostile(empty_lake: Lake) -> Iterator[QueryEngine]:
    """An engine whose workers have all been taken over."""
    engine = QueryEngine(empty_lake)
    engine.workers.close()
    engine.workers = WorkerPool(
        "tests.sql.hostile_worker:work", [b""], memory_bytes=64 << 20, max_computing=2, max_wait_s=TIMEOUT_S
    )
    yield engine
    engine.workers.close()
    engine.close()


def numbers(engine: QueryEngine, sql: str, context: QueryContext | None = None) -> list[int]:
    """The rows of a statement."""
    query = engine.plan(sql, context)
    return pa.Table.from_batches(list(query.batches()), query.schema)["n"].to_pylist()


def is_unharmed(engine: QueryEngine) -> bool:
    """Whether the next statement gets a worker, and its rows."""
    return numbers(engine, hostile_worker.HONEST) == [1, 2]


ATTACKS = (
    *(name for name in hostile_worker.WHILE_PLANNING if name != "a function of administrators"),
    *hostile_worker.CALLS,
    *hostile_worker.WHILE_RUNNING,
    "many scans",
    "compressed zeros",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_but_the_statement_fails(hostile: QueryEngine, attack: str) -> None:
    """Whatever is sent: with an error that has a status, and without much memory."""
    before_bytes = resident_bytes()
    with pytest.raises((UdtfError, EnginePanic)):
        numbers(hostile, attack)
    assert resident_bytes() - before_bytes < 200 << 20
    assert is_unharmed(hostile)


def test_a_worker_that_fell_silent_can_be_cancelled(hostile: QueryEngine) -> None:
    """In the middle of a message, too."""
    query = hostile.plan("half a message")
    end_s = time.monotonic() + 1.0
    with pytest.raises(QueryCancelled):
        list(query.batches(lambda: time.monotonic() > end_s))
    assert is_unharmed(hostile)


def test_what_the_caller_may_not_do_its_worker_may_not_either(hostile: QueryEngine) -> None:
    """It is the engine that knows what is whose."""
    context = QueryContext(may_administer=False)
    with pytest.raises(InvalidArgument, match="no table function"):
        numbers(hostile, "an unknown function", context)
    with pytest.raises(UdtfError, match="administrators"):
        numbers(hostile, "a function of administrators", context)


def test_nothing_secret_is_in_the_environment_of_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor in that of the process that they are forked from: it may hold keys of stores and passwords of databases."""
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3-secret", "PGPASSWORD": "pg-secret", "FLIGHTSRV_TOKEN": "a-token"}
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    # A function of its own name gets a process to fork from of its own, started with this environment.
    (tmp_path / "told_environment.py").write_text(
        "import os\n"
        "def work(channel):\n"
        "    channel.send(repr(dict(os.environ)).encode(), str(os.getppid()).encode())\n"
        "    channel.receive(1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = WorkerPool("told_environment:work", [], memory_bytes=64 << 20, max_computing=1, max_wait_s=TIMEOUT_S)
    with pool.computer(lambda: False, None) as worker:
        channel: Channel = worker.channel
        environment, parent_pid = (part.to_pybytes().decode() for part in channel.receive(1 << 20))
        of_parent = str(psutil.Process(int(parent_pid)).environ())
    pool.close()
    for name, secret in secrets.items():
        assert os.environ[name] == secret
        assert name not in environment + of_parent
        assert secret not in environment + of_parent


def test_requests_are_no_pickles(hostile: QueryEngine) -> None:
    """What a message cannot hold, it does not."""
    with pytest.raises(TypeError, match="no message holds"):
        encode(hostile)  # type: ignore[arg-type]
