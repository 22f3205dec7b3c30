"""Bytes of traced programs, decoded by columns; and bytes that are none."""

import json
import random
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.storing import Uploads
from flightsrv.telemetry import Process
from flightsrv.tracing.buffers import LOG, MEASURE
from flightsrv.tracing.scopes import Scope, ScopeTable
from flightsrv.tracing.uploads import Block, Stream, encode_upload
from flightsrv.uploads import InvalidUpload, decode_uploads

PROCESS = {
    "process_id": "p",
    "parent_process_id": None,
    "tsc_frequency": 10**9,
    "start_time_ns": 5,
    "start_ticks": 7,
    "exe": "python",
    "username": None,
    "realname": None,
    "computer": "here",
    "distro": "none",
    "cpu_brand": "fast",
    "properties": {"größe": "😀"},
}
THREAD = Stream("t", 0, {"thread-name": "main"})
TASKS = Stream("a", 1, {"thread-name": "loop"})
LEAST = -(1 << 63)


def scope_table(names: int) -> ScopeTable:
    """Scopes of codes 2 to `names` + 1."""
    scopes = ScopeTable()
    for number in range(names):
        scopes.code_of(Scope(f"name {number}", "module", "file.py", number))
    return scopes


SCOPES = scope_table(5)


def events_of(uploads: Uploads) -> list[tuple[str, int, list[tuple[Any, ...]]]]:
    """Of each block stream, ordinal and events."""
    uploads.blocks.validate(full=True)
    return [
        (
            row["stream_id"],
            row["object_offset"],
            [
                (event["ticks"], event["kind"], event["scope"]["name"], *list(event.values())[3:])
                for event in row["thread_events"] or row["async_events"] or ()
            ],
        )
        for row in uploads.blocks.to_pylist()
    ]


def test_an_upload_is_read_as_it_was_written() -> None:
    """Process, streams of either kind, blocks with their ordinals, events with their scopes."""
    blocks = [
        Block(THREAD, 4, [10, 2, 11, 3, 12, -3, 13, -2], LEAST),
        Block(TASKS, 0, [10, 4, 1, 0, 0, 1 << 40, -4, 1, 0, 0], LEAST),
        Block(THREAD, 8, [20, 2, 21, -2], LEAST),
    ]
    uploads = decode_uploads(encode_upload(PROCESS, blocks, SCOPES))
    assert uploads.processes == [Process(**PROCESS)]  # type: ignore[arg-type]
    assert [(stream.stream_id, stream.tags, stream.properties) for stream in uploads.streams] == [
        ("t", ("thread",), {"thread-name": "main"}),
        ("a", ("async",), {"thread-name": "loop"}),
    ]
    assert events_of(uploads) == [
        ("t", 4, [(10, 0, "name 0"), (11, 0, "name 1"), (12, 1, "name 1"), (13, 1, "name 0")]),
        ("t", 8, [(20, 0, "name 0"), (21, 1, "name 0")]),
        ("a", 0, [(10, 0, "name 2", 1, 0, 0), (1 << 40, 1, "name 2", 1, 0, 0)]),
    ]


def test_logs_and_counters_are_read_as_they_were_written() -> None:
    """Entries with levels and texts, values with units, of several uploads, whose texts have numbers of their own."""
    log, numbers = Stream("l", LOG, {"thread-stream-id": "t"}), Stream("m", MEASURE, {})
    data = encode_upload(
        PROCESS,
        [Block(log, 0, [1, 2, 3, "größe", 2, 3, 0, ""], LEAST), Block(numbers, 7, [5, 4, "B", -0.5], LEAST)],
        SCOPES,
    )
    data += encode_upload(
        PROCESS,
        [Block(log, 2, [9, 2, 6, "new", 8, 2, 6, "größe"], LEAST), Block(numbers, 8, [6, 5, "", 1e300], LEAST)],
        SCOPES,
    )
    uploads = decode_uploads(data)
    assert [stream.tags for stream in uploads.streams] == [("log",), ("measure",)]
    rows = [
        (
            row["stream_id"],
            row["object_offset"],
            *(tuple(event.values()) for event in row["log_entries"] or row["measures"]),
        )
        for row in uploads.blocks.to_pylist()
    ]
    scopes = [{"name": f"name {n}", "target": "module", "filename": "file.py", "line": n} for n in range(5)]
    assert rows == [
        ("l", 0, (1, 3, scopes[0], "größe"), (2, 0, scopes[1], "")),
        ("l", 2, (9, 6, scopes[0], "new"), (9, 6, scopes[0], "größe")),
        ("m", 7, (5, scopes[2], "B", -0.5)),
        ("m", 8, (6, scopes[3], "", 1e300)),
    ]


def test_uploads_are_read_together() -> None:
    """Of one process or several, as one record batch."""
    other = PROCESS | {"process_id": "q"}
    data = encode_upload(PROCESS, [Block(THREAD, 0, [1, 2], LEAST)], SCOPES)
    data += encode_upload(PROCESS, [Block(THREAD, 1, [2, 3], LEAST)], SCOPES)
    data += encode_upload(other, [Block(Stream("u", 0, {}), 0, [3, 6], LEAST)], SCOPES)
    uploads = decode_uploads(data)
    assert [process.process_id for process in uploads.processes] == ["p", "q"]
    assert events_of(uploads) == [
        ("t", 0, [(1, 0, "name 0")]),
        ("t", 1, [(2, 0, "name 1")]),
        ("u", 0, [(3, 0, "name 4")]),
    ]
    assert uploads.blocks["process_id"].to_pylist() == ["p", "p", "q"]


def test_streams_without_events_are_told_of() -> None:
    """As those of threads that never had room; a process alone, too."""
    uploads = decode_uploads(encode_upload(PROCESS, [Block(THREAD, 0, [], LEAST)], SCOPES))
    assert [stream.stream_id for stream in uploads.streams] == ["t"]
    assert uploads.blocks.num_rows == 0
    assert decode_uploads(encode_upload(PROCESS, [], SCOPES)).streams == []


TICKS = st.integers(-(1 << 62), 1 << 62)


@given(
    st.lists(st.tuples(TICKS, st.lists(st.tuples(TICKS, st.integers(2, 6), st.booleans()), max_size=20)), max_size=5)
)
def test_time_never_goes_back_in_a_block(given_blocks: list[tuple[int, list[tuple[int, int, bool]]]]) -> None:
    """Each event is at its own time, or at the latest one of those before it."""
    blocks = [
        Block(THREAD, number, [n for ticks, code, is_end in events for n in (ticks, -code if is_end else code)], least)
        for number, (least, events) in enumerate(given_blocks)
    ]
    expected = []
    for number, (least, events) in enumerate(given_blocks):
        rows = []
        for ticks, code, is_end in events:
            least = max(least, ticks)
            rows.append((least, int(is_end), f"name {code - 2}"))
        if rows:
            expected.append(("t", number, rows))
    assert events_of(decode_uploads(encode_upload(PROCESS, blocks, SCOPES))) == expected


def packed(header: dict[str, Any], events: bytes = b"") -> bytes:
    """An upload with any header."""
    text = json.dumps(header).encode()
    raw = struct.pack("<I", len(text)) + text + events
    body = zlib.compress(raw)
    return struct.pack("<4sII", b"fsu1", len(body), len(raw)) + body


HEADER: dict[str, Any] = {
    "process": PROCESS,
    "streams": [THREAD],
    "blocks": [[0, 0, 1, 0]],
    "codes": [2],
    "scopes": [["a", "", "", 1]],
}
EVENT = struct.pack("<qq", 1, 2)
LOG_HEADER = HEADER | {"streams": [["l", 2, {}]], "texts": ["a"]}


def planes(*values: int) -> bytes:
    """The columns of a single event."""
    return struct.pack(f"<{len(values)}q", *values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "nothing was sent"),
        (b"fsu", "begins with 12 bytes"),
        (b"nonsense nonsense", "begins with b'fsu1'"),
        (struct.pack("<4sII", b"fsu1", 3, 9) + b"abc", "cannot be decompressed"),
        (packed(HEADER, EVENT)[:-4], "has not the"),
        (struct.pack("<4sII", b"fsu1", 9, 1 << 31), "at most"),
        (packed(HEADER), "0"),
        (packed(HEADER, EVENT + b"x"), "attributes of the events have 0 bytes, the upload has 1"),
        (
            packed(HEADER | {"attributes": [1, 0, 0, 0]}, EVENT),
            "have attributes 12; the upload has 16",
        ),
        (packed(HEADER | {"attributes": [1, 0]}, EVENT), "attributes"),
        (packed(HEADER | {"blocks": [[1, 0, 1, 0]]}, EVENT), "of stream 1"),
        (packed(HEADER | {"blocks": [[0, 0, 1 << 62, 0]]}, EVENT), "events in"),
        (packed(HEADER | {"blocks": [[0, -1, 1, 0]]}, EVENT), "blocks.0.1"),
        (packed(HEADER | {"codes": [3]}, EVENT), "without a scope"),
        (packed(HEADER | {"codes": []}, EVENT), "one of each scope"),
        (packed(HEADER | {"streams": [["t", 5, {}]]}, EVENT), "streams.0.1"),
        (packed(HEADER | {"streams": [["l", 2, {}]], "texts": [7]}, EVENT), "texts.0"),
        (packed(LOG_HEADER, planes(1, 2, 256, 0)), "level below 0 or above 255"),
        (packed(LOG_HEADER, planes(1, 2, 1, -1)), "a text that is not"),
        (packed(HEADER | {"process": {}}, EVENT), "process.process_id"),
        (packed(HEADER | {"extra": 1}, EVENT), "extra"),
        (packed(HEADER | {"codes": [2, 2], "scopes": [["a", "", "", 1]] * 2}, EVENT), "ascending"),
        (packed(HEADER | {"codes": [1 << 70]}, EVENT), "codes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bytes_that_are_no_uploads_are_refused(data: bytes, message: str) -> None:
    """With what is wrong."""
    with pytest.raises(InvalidUpload, match=message):
        decode_uploads(data)


def test_no_bytes_do_harm() -> None:
    """Uploads that were damaged anywhere are read, or refused."""
    sound = encode_upload(PROCESS, [Block(THREAD, 4, [10, 2, 11, -2] * 20, LEAST)], SCOPES)
    body = bytearray(zlib.decompress(sound[12:]))
    numbers = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(body)
        for _ in range(numbers.randint(1, 4)):
            damaged[numbers.randrange(len(damaged))] = numbers.randrange(256)
        compressed = zlib.compress(damaged, 1)
        data = struct.pack("<4sII", b"fsu1", len(compressed), len(damaged)) + compressed
        with suppress(InvalidUpload):
            events_of(decode_uploads(data))
