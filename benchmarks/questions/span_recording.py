"""What does one span cost the application that records it? `python -m benchmarks run span_recording`

Processor time of the recording thread for entering and leaving one `with span(...)`, the loop around it included, in a
program of its own. The details have the time on the clock, and the processor time of the whole program, which is that
and the work of the background sender.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.lakes import Workbench
from benchmarks.results import Budget, Result

RUNS = 25


def measure(bench: Workbench, runs: int = RUNS) -> Iterator[Result]:
    command = [sys.executable, "-m", "benchmarks.traced_program", str(runs)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    in_us = [[float(number) / 1e3 for number in line.split()] for line in lines]
    thread_us, clock_us, all_us = zip(*in_us, strict=True)
    details = {"us on the clock": statistics.median(clock_us), "us of CPU with the sender": statistics.median(all_us)}
    yield Result("recording one span", "us", Budget(0.6), thread_us, details)
