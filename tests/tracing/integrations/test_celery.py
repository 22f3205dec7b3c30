"""Tasks of Celery, without a worker; with one they are an example."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task

from flightsrv import tracing
from flightsrv.tracing.integrations.celery import trace_tasks
from flightsrv.tracing.trace_context import entered, received
from tests.tracing.recorded import MemorySink, noted_at_ends, settings, tree

TRACE, CALLER = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
HEADER = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
def app() -> Iterator[Celery]:
    trace_tasks()
    trace_tasks()
    with Celery("tests", broker="memory://", set_as_current=False) as app:
        yield app


def test_runs_of_tasks_are_spans(app: Celery) -> None:
    """Those that fail, those that are tried again, and those within others; without recording there are none."""
    sink = MemorySink()

    @app.task(bind=True, name="fail", max_retries=1)
    def fail(self: "Task[Any, Any]") -> None:
        raise self.retry(exc=ValueError("broken"), countdown=0)

    @app.task(name="outer")
    def outer() -> None:
        fail.apply()

    outer.apply()
    with tracing.start(sink=lambda: sink, settings=settings()):
        outer.apply(headers={"traceparent": HEADER})
    outer.apply()
    assert tree(sink.of_thread("MainThread")) == "outer\n  fail\n  fail"
    failed, again, whole = noted_at_ends(sink.of_thread("MainThread"))
    assert (again["state"], again["error.type"], again["error.message"]) == ("FAILURE", "ValueError", "broken")
    assert failed["state"] == "RETRY"
    assert (whole["state"], whole["trace_id"], whole["parent_span_id"]) == ("SUCCESS", TRACE, CALLER)
    assert len({noted["task_id"] for noted in (failed, whole)}) == 2


def test_tasks_are_sent_with_their_request(app: Celery) -> None:
    """Its state as well; and nothing while nothing is recorded."""
    sink = MemorySink()

    @app.task(name="work")
    def work() -> None: ...

    def sent_headers() -> dict[str, Any]:
        work.delay()
        with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
            message = queue.get(timeout=60)
            message.ack()
            return {name: value for name, value in message.headers.items() if name.startswith("trace")}

    assert sent_headers() == {}
    with (
        tracing.start(sink=lambda: sink, settings=settings()),
        entered(received([HEADER], ["a=1"])),
    ):
        headers = sent_headers()
    assert headers["tracestate"] == "a=1"
    (sent,) = noted_at_ends(sink.of_thread("MainThread"))
    assert headers["traceparent"] == f"00-{TRACE}-{sent['span_id']}-01"
    assert tree(sink.of_thread("MainThread")) == "send work"
