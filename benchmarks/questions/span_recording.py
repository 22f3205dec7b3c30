"""What does one span cost the application that records it? `python -m benchmarks run span_recording`

Entering and leaving one `with span(...)`, the loop around it included, in a program of its own with one busy thread.
The details have the processor time of the whole program, which is that and the work of the background sender.
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
    recording_us, with_sender_us = zip(
        *([float(number) / 1e3 for number in line.split()] for line in lines), strict=True
    )
    details = {"us of CPU with the sender": statistics.median(with_sender_us)}
    yield Result("recording one span", "us", Budget(1), recording_us, details)
