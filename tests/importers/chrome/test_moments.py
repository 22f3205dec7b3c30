"""Instants and counters of a file, as Perfetto's own trace processor reads them, are in the trace that comes out."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from flightsrv.importers.chrome import read_chrome_trace
from tests.importers.chrome.spans_of import ingest
from tests.model.lake import Reader
from tests.model.strategies import ALL_TIME
from tests.support.trace_processor import LoadedTrace, TraceProcessor
from udtf.lake.lake import Lake

_COUNTERS = """
    SELECT counter.ts, counter.value, track.name, process.pid
    FROM counter JOIN process_counter_track track ON counter.track_id = track.id JOIN process USING (upid)
"""
_INSTANTS = """
    SELECT slice.ts, slice.name, slice.category, thread.tid
    FROM slice LEFT JOIN thread_track ON thread_track.id = slice.track_id LEFT JOIN thread USING (utid)
    WHERE slice.dur = 0
"""


def _imported(lake: Lake, path: Path, events: list[dict[str, Any]]) -> tuple[bytes, list[str]]:
    """The trace of what a file of these events is imported as, and what is told of it."""
    path.write_text(json.dumps(events))
    chrome = read_chrome_trace(path)
    return Reader.of(lake).trace_bytes(",".join(ingest(lake, chrome)), "all", ALL_TIME), chrome.findings.describe()


def _rows(loaded: LoadedTrace, sql: str) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row.values()) for row in loaded.query(sql))


def test_what_perfetto_shows_of_the_file_is_shown(lake: Lake, tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """Counters with several series, of several processes; instants of threads, also of ones without spans, of async
    spans, and of processes; in no order of time."""
    dice = random.Random(7)
    events: list[dict[str, Any]] = []
    for pid in (1, 2):
        for _ in range(60):
            ts = dice.randrange(1000) / 8
            event: dict[str, Any] = {"pid": pid, "tid": 10 * pid + dice.randrange(3), "ts": ts}
            match dice.choice("Ciiin"):
                case "C":
                    series = {"read": dice.randrange(100), "written": dice.choice([-1.5, "2.25", 0])}
                    event |= {"ph": "C", "name": dice.choice(["disk", "net"]), "args": series}
                case "n":
                    event |= {"ph": "n", "name": dice.choice(["step", "gc"]), "cat": "v8", "id": dice.randrange(3)}
                case _:
                    event |= {"ph": dice.choice("iIR"), "name": dice.choice(["gc", "idle"]), "cat": "v8"}
                    event |= dice.choice([{}, {"s": "t"}, {"s": "p"}, {"s": "g"}])
            events.append(event)
    dice.shuffle(events)
    path = tmp_path / "trace.json"
    data, told = _imported(lake, path, events)
    of_file = trace_processor.load(path.read_bytes())
    expected = _rows(of_file, _COUNTERS), _rows(of_file, _INSTANTS)
    assert of_file.errors() == []
    shown = trace_processor.load(data)
    assert shown.errors() == []
    assert _rows(shown, _COUNTERS) == expected[0]
    assert _rows(shown, _INSTANTS) - expected[1] == Counter()
    assert expected[1] - _rows(shown, _INSTANTS) == Counter()
    nb_counters, nb_instants = (sum(rows.values()) for rows in expected)
    assert told[0] == f"Imported 0 spans, {nb_instants} instants, {nb_counters} counter values."
    assert min(nb_counters, nb_instants) > 40


def test_values_that_are_no_numbers_are_left_out_and_told(lake: Lake, tmp_path: Path) -> None:
    args = {"a": 1, "b": "many", "c": None, "d": True, "e": [1], "f": "1e999"}
    events = [
        {"ph": "C", "pid": 1, "ts": 5, "name": "n", "args": args},
        {"ph": "C", "pid": 1, "ts": 6, "name": "n"},
        {"ph": "i", "pid": 1, "ts": 7, "name": "x" * 20_000},
    ]
    data, told = _imported(lake, tmp_path / "trace.json", events)
    assert told[:3] == [
        "Imported 0 spans, 1 instant, 1 counter value.",
        "5 events left out: the value of a counter is no number (first: n b).",
        "1 event left out: it is a counter without values, 'args' (first: event 1, 'n').",
    ]
    assert data
