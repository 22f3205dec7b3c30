"""What `flightsrv run` tells the interpreter that runs the program: where to send, and which modules to trace."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flightsrv import tracing

VARIABLE = "FLIGHTSRV_RUN"

_STARTUP = str(Path(__file__).with_name("startup"))

_LOCAL = tracing.Settings(send_every_s=0.5, stop_timeout_s=60.0, spool="")
"""For a receiver that waits for this program alone, and is gone after it."""


class Plan(NamedTuple):
    """How a program is recorded.

    url: HTTP address of the receiver.
    modules: patterns of the modules whose calls are spans.
    is_local: whether the receiver is there for this program alone.
    """

    url: str
    modules: Sequence[str]
    is_local: bool

    def environment(self) -> dict[str, str]:
        """The environment of this process, and what makes a Python interpreter follow the plan."""
        path = os.environ.get("PYTHONPATH")
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([_STARTUP, path] if path else [_STARTUP]),
            VARIABLE: json.dumps(self),
        }


def record(plan: str) -> None:
    """Begin to record this process.

    Raises:
        ValueError: the url of the plan is none.
    """
    url, modules, is_local = json.loads(plan)
    tracing.start(url, settings=_LOCAL if is_local else None)
    tracing.trace_modules(*modules)
