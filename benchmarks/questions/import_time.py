"""How much longer does an application take to start that imports the tracing library? `python -m benchmarks run
import_time`

The import alone, in a new interpreter that has imported nothing else.
"""

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.results import Budget, Result

RUNS = 11
_PROGRAM = """
import time
begin_ns = time.perf_counter_ns()
import flightsrv.tracing
print(time.perf_counter_ns() - begin_ns)
"""


def measure(bench: Workbench, runs: int = RUNS) -> Iterator[Result]:
    _import_ms()  # the first one may compile
    yield Result("import of the tracing library", "ms", Budget(100), tuple(_import_ms() for _ in range(runs)))


def _import_ms() -> float:
    run = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True)
    return int(run.stdout) / 1e6
