"""Celery tasks that are traced, in worker processes that are forked. In its folder, and with one folder for messages:

mkdir messages
celery --app tasks_celery worker --concurrency 2    # Ctrl-C ends it
python tasks_celery.py                              # in another terminal: has it do some work
"""

import os
import time

from celery import Celery, group

from flightsrv import tracing
from flightsrv.tracing.integrations.celery import trace_tasks

MESSAGES = os.path.abspath(os.environ.get("MESSAGES", "messages"))

app = Celery("tasks_celery", broker="filesystem://", backend=f"file://{MESSAGES}")
app.conf.broker_transport_options = {
    **{f"data_folder_{way}": MESSAGES for way in ("in", "out")},
    "control_folder": MESSAGES,
}
tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080"))
trace_tasks()


@app.task
def length(word: str) -> int:
    with tracing.span("think"):
        time.sleep(0.01)
    return len(word)


if __name__ == "__main__":
    with tracing.span("ask"):
        print(group(length.s(word) for word in ("one", "three", "seven")).delay().get(timeout=120))
