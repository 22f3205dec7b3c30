"""From a file that a real profiler wrote to what Perfetto shows, through every part of the system."""

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal

PROGRAM = """
import threading

def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

threads = [threading.Thread(target=fibonacci, args=(12,), name=f"worker-{i}") for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_every_call_that_viztracer_recorded_is_a_slice(shell, trace_processor):
    """With its exact begin, duration and name, on the thread that made it; nothing else is there."""
    (shell.folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "viztracer", "--quiet", "-o", "result.json", "program.py"]
    subprocess.run(command, cwd=shell.folder, check=True)
    text = (shell.folder / "result.json").read_text()
    events = json.loads(text, parse_float=Decimal)["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    recorded = Counter(
        (int(event["ts"] * 1000), int(event["dur"] * 1000), event["name"], event["tid"], names[event["tid"]])
        for event in events
        if event["ph"] == "X"
    )

    (process_id,) = shell.lines("import-chrome", "result.json")
    shell.lines("trace", process_id, "-o", "result.pftrace")

    loaded = trace_processor.load((shell.folder / "result.pftrace").read_bytes())
    shown = Counter(
        (piece.begin_ns, piece.duration_ns, piece.name, piece.thread_id, piece.thread_name) for piece in loaded.slices()
    )
    assert shown == recorded
    assert loaded.errors() == []
