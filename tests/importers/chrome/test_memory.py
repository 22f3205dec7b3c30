"""A file is read a part at a time."""

import json
from pathlib import Path

from flightsrv.importers.chrome import read_chrome_trace
from tests.support.memory import peak_growth_bytes


def test_a_large_file_takes_no_more_memory_than_twice_its_size(tmp_path: Path) -> None:
    """Its blocks included, which are made one after the other."""
    path = tmp_path / "large.json"
    with path.open("w") as file:
        file.write('{"traceEvents": [')
        for number in range(150_000):
            event = {"ph": "X", "pid": 1000, "tid": number % 50, "ts": 1_000_000 + number + 0.125, "dur": 1.25}
            name = f"function_{number % 2000} (/usr/lib/python3.11/module_{number % 40}.py:{number % 2000})"
            file.write(json.dumps(event | {"name": name, "cat": "FEE"}) + ", ")
        file.write("{}]}")

    def work() -> None:
        assert sum(block.nb_objects for block in read_chrome_trace(path).blocks()) == 300_000

    assert peak_growth_bytes(work) < 2 * path.stat().st_size


def test_flows_take_no_more_either(tmp_path: Path) -> None:
    """Of which no two have one id."""
    path = tmp_path / "flows.json"
    with path.open("w") as file:
        file.write('{"traceEvents": [')
        for number in range(60_000):
            thread = {"pid": 1000, "tid": number % 50, "ts": 1_000_000 + number, "cat": "FEE"}
            file.write(json.dumps({"ph": "X", **thread, "dur": 1.25, "name": f"function_{number % 2000}"}) + ", ")
            for phase in "sf":
                file.write(json.dumps({"ph": phase, **thread, "id": hex(number), "name": "flow", "bp": "e"}) + ", ")
        file.write("{}]}")
    counted = []

    def work() -> None:
        trace = read_chrome_trace(path)
        assert sum(block.nb_objects for block in trace.blocks()) == 180_000
        counted.append(trace.findings.links)

    assert peak_growth_bytes(work) < 2 * path.stat().st_size
    assert counted == [60_000]
