"""Arguments of events in the file are arguments of slices in the trace, as Perfetto itself reads them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from flightsrv.importers.chrome import read_chrome_trace
from tests.importers.chrome.spans_of import ingest
from tests.model.lake import Reader
from tests.model.strategies import ALL_TIME
from tests.support.trace_processor import LoadedTrace, TraceProcessor
from udtf.lake.lake import Lake

VALUES: list[Any] = [
    *([], {}),  # without a value, so that they take no value of a begin from it
    *(0, 1, -1, 2**40, -(2**63), 2**63 - 1, 0.5, -1e300, True, False),
    *("", "text", "größe 😀", "a\nb", 'say "hi"', "x" * 4095),
    *([1, 2.5, "a", True], {"a": {"b": [1, {"c": "d"}]}}, [[1], [2]]),
]


def arguments(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events with one value after the other."""
    values = VALUES[: len(events)]
    return [
        {**event, "args": {"first": value, "n": number}}
        for number, (event, value) in enumerate(zip(events, values, strict=True))
    ]


EVENTS = arguments(
    [{"ph": "X", "pid": 1, "tid": 2, "ts": 10 * i, "dur": 5, "name": f"x{i}"} for i in range(9)]
    + [
        {"ph": phase, "pid": 1, "tid": 3, "ts": 10 * i + (phase == "E"), "name": f"b{i}"}
        for i in range(2)
        for phase in "BE"
    ]
    + [
        {"ph": phase, "cat": "c", "id": i, "pid": 1, "tid": 3, "ts": 10 * i + (phase == "e"), "name": f"a{i}"}
        for i in range(2)
        for phase in "be"
    ]
    + [{"ph": "n", "cat": "c", "id": 0, "pid": 1, "tid": 3, "ts": i, "name": f"n{i}"} for i in range(2)]
    + [{"ph": "i", "s": scope, "pid": 1, "tid": 4, "ts": 7, "name": f"i{scope}"} for scope in "tp"]
)
_ARGUMENTS = """
    SELECT slice.ts, name, key, int_value, real_value, string_value, value_type
    FROM slice JOIN args USING (arg_set_id) WHERE key GLOB '{prefix}*'
"""


def shown(loaded: LoadedTrace, prefix: str) -> Counter[tuple[object, ...]]:
    return Counter(
        (row["ts"], row["name"], str(row["key"]).removeprefix(prefix), *list(row.values())[3:])
        for row in loaded.query(_ARGUMENTS.format(prefix=prefix))
    )


def test_what_perfetto_shows_of_the_file_is_shown(tmp_path: Path, lake: Lake, trace_processor: TraceProcessor) -> None:
    """All types, nested ones too; of begins, ends, async spans and instants."""
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(EVENTS, ensure_ascii=False))  # Perfetto leaves escapes as they are.
    (process_id,) = ingest(lake, read_chrome_trace(path))
    ours = trace_processor.load(Reader.of(lake).trace_bytes(process_id, "all", ALL_TIME))
    assert ours.errors() == []
    of_trace = shown(ours, "debug.")
    theirs = shown(trace_processor.load(path.read_bytes()), "args.")
    assert of_trace == theirs


def test_arguments_are_properties_in_sql(tmp_path: Path, lake: Lake) -> None:
    """What cannot be read as JSON is its text."""
    path = tmp_path / "trace.json"
    path.write_text('[{"ph":"X","pid":1,"tid":1,"ts":1,"dur":1,"name":"a","args":{"n":1.50,"x":nan,"l":[0.5,null]}}]')
    (process_id,) = ingest(lake, read_chrome_trace(path))
    rows = Reader.of(lake).rows(f"SELECT properties FROM process_spans('{process_id}', 'thread')")
    assert rows == [{"properties": [("l", "[0.5, null]"), ("n", "1.5"), ("x", "nan")]}]


def test_deep_arguments_do_not_stop_the_import(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    event = '{"ph":"X","pid":1,"tid":1,"ts":1,"dur":1,"name":"a","args":{"deep":%s,"n":1}}' % ("[" * 900 + "]" * 900)
    path.write_text(f"[{event}]")
    trace = read_chrome_trace(path)
    assert trace.findings.spans == 1
