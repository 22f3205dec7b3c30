"""Spans for the tasks of Celery: where they are sent, and where they are run.

A task that is run is a span of its worker's thread, named after the task, with the attributes `task_id` and `state`. It
is part of the request that it was sent in: both spans have the attributes of its trace context.
"""

from contextlib import ExitStack
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun, worker_process_shutdown

from flightsrv.tracing.recorder import active, span
from flightsrv.tracing.session import stop
from flightsrv.tracing.trace_context import TRACEPARENT, TRACESTATE, entered, received, sent_with

_RUN = "_flightsrv_run"


def trace_tasks() -> None:
    """Trace all tasks that this process sends or runs, and those of the processes that a worker forks. Harmless when
    repeated."""
    for signal, receiver in (
        (before_task_publish, _note_sending),
        (task_prerun, _begin),
        (task_postrun, _end),
        (worker_process_shutdown, _stop),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"flightsrv{receiver.__name__}")


def _note_sending(sender: Any = None, headers: Any = None, **_: Any) -> None:
    """A span without length, since Celery does not say how sending ended if it failed."""
    if headers is None:
        return
    own = {name: headers[name] for name in (TRACEPARENT, TRACESTATE) if headers.get(name)}
    with sent_with(own) as attributes, span(f"send {sender}", **attributes):
        headers.update(own)


def _begin(task_id: Any = None, task: Any = None, **_: Any) -> None:
    if active() is None:
        return
    headers = task.request.headers or {}
    context = received(*([str(headers[name])] if headers.get(name) else [] for name in (TRACEPARENT, TRACESTATE)))
    attributes = {} if context is None else context.attributes
    run = ExitStack()
    run.enter_context(entered(context))
    opened = run.enter_context(span(task.name, task_id=task_id, **attributes))
    setattr(task.request, _RUN, (run, opened))


def _end(task: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
    begun = vars(task.request).pop(_RUN, None)
    if begun is None:
        return
    run, opened = begun
    error = retval if isinstance(retval, BaseException) else None
    opened.set(state=state)
    run.__exit__(None if error is None else type(error), error, None)


def _stop(**_: Any) -> None:
    stop()
