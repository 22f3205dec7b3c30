"""A file that a real profiler wrote."""

import json
import subprocess
import sys
from decimal import Decimal

from flightsrv.importers.chrome import read_chrome_trace
from tests.importers.chrome.spans_of import thread_spans

PROGRAM = """
import threading

def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

threads = [threading.Thread(target=fibonacci, args=(9,), name=f"worker-{i}") for i in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_a_trace_written_by_viztracer_comes_through_whole(tmp_path):
    """Every function call that viztracer wrote is there with its exact times, on a thread of the right name."""
    (tmp_path / "program.py").write_text(PROGRAM)
    subprocess.run(
        [sys.executable, "-m", "viztracer", "--quiet", "-o", "result.json", "program.py"], cwd=tmp_path, check=True
    )
    path = tmp_path / "result.json"
    events = json.loads(path.read_text(), parse_float=Decimal)["traceEvents"]
    written = sorted(
        (int(event["ts"] * 1000), int((event["ts"] + event["dur"]) * 1000), event["name"])
        for event in events
        if event["ph"] == "X"
    )

    trace = read_chrome_trace(path)

    threads = thread_spans(trace)
    read = sorted((span.begin_ns, span.end_ns, span.name) for spans in threads.values() for span in spans)
    assert read == written
    assert {name for _, name in threads} == {"MainThread", "worker-0", "worker-1", "worker-2"}
    for thread in ("worker-0", "worker-1", "worker-2"):
        calls = [span for (_, name), spans in threads.items() if name == thread for span in spans]
        fibonacci = [span for span in calls if span.name.startswith("fibonacci (")]
        assert len(fibonacci) == 109
        # Calls nest as deep as the recursion goes.
        assert max(sum(name.startswith("fibonacci (") for name in span.ancestors) for span in fibonacci) == 8
    assert trace.findings.overlapping == 0
    assert [process.exe for process in trace.processes] == ["MainProcess"]
