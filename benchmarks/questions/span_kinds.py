"""What do spans cost by the way they are written? `python -m benchmarks run span_kinds`

Processor time of the recording thread, less that of the same loop without spans, in a program of its own
(`benchmarks.recording`): with statements, decorators, async spans, and spans while nothing is recorded; and how many of
a burst find no room.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.results import Budget, Result


def measure(bench: Workbench) -> Iterator[Result]:
    command = [sys.executable, "-m", "benchmarks.recording"]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for figure in figures:
        if figure["unit"] != "ms":  # the import is a question of its own
            budget = Budget(figure["budget"])
            yield Result(f"recording: {figure['name']}", figure["unit"], budget, (figure["value"],))
