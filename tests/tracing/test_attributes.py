"""What programs note of their spans, lines of logs and instants."""

import asyncio
import enum
import json
import logging
import math
import os
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.tracing import attributes as recorded
from flightsrv.tracing import buffers
from flightsrv.uploads import InvalidUpload, decode_uploads
from tests.support.trace_processor import TraceProcessor
from tests.tracing.recorded import Event, MemorySink, settings
from tests.tracing.servers import TracingServer, tracing_server
from tests.tracing.test_children import children_of, run_file
from udtf.lake import attributes as stored

SETTINGS = tracing.Settings(send_every_s=0.05, stop_timeout_s=60.0, vitals_every_s=None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    """One over a lake of its own."""
    with tracing_server(str(tmp_path_factory.mktemp("attributes") / "lake")) as running:
        yield running


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def noted(sink: MemorySink, tag: str = "thread") -> list[tuple[str, bool, dict[str, str]]]:
    """Name, whether it is a begin, and attributes of all events of the main thread."""
    tracing.flush()
    return [(event.name, event.is_begin, event.attributes) for event in sink.of_thread("MainThread", tag)]


def spans_of(server: TracingServer, process_id: str) -> dict[str, dict[str, str]]:
    with connect(server.url) as client:
        rows = client.query("SELECT name, properties FROM process_spans($1, 'both')", [process_id]).to_pylist()
    return {row["name"]: dict(row["properties"]) for row in rows}


def test_what_a_program_notes_is_in_sql_and_in_its_trace(
    server: TracingServer, trace_processor: TraceProcessor
) -> None:
    """Of spans of threads and of tasks, instants and lines of logs; types are kept in the trace."""
    logger, handler = logging.getLogger("shop.payments"), tracing.LogHandler()
    logger.addHandler(handler)
    logger.propagate = False

    async def task() -> None:
        async with tracing.async_span("request", path="/orders") as opened:
            await asyncio.sleep(0)
            opened.set(status=200)
            tracing.set_attributes(user="ann")

    with tracing.start(server.http_url, settings=SETTINGS) as session:
        with tracing.span(
            "query", sql="SELECT 1", rows=-7, share=0.5, is_cached=True, tags=["a", {"b": None}]
        ) as opened:
            opened.set(rows=8, note="größe")
            with tracing.span("inner"):
                tracing.set_attributes(depth=2)
        with pytest.raises(ValueError, match="no such order"), tracing.span("failing"):
            raise ValueError("no such order")
        asyncio.run(task())
        tracing.instant("emptied", entries=3)
        logger.error("failed", extra={"order": 17})
    logger.removeHandler(handler)
    found = spans_of(server, session.process_id)
    assert json.loads(found["query"].pop("tags")) == ["a", {"b": None}]
    assert found == {
        "query": {"sql": "SELECT 1", "rows": "8", "share": "0.5", "is_cached": "true", "note": "größe"},
        "inner": {"depth": "2"},
        "failing": {"error": "true", "error.type": "ValueError", "error.message": "no such order"},
        "request": {"path": "/orders", "status": "200", "user": "ann"},
    }
    with connect(server.url) as client:
        rows = client.query(
            "SELECT msg, properties FROM view_instance('log_entries', $1) ORDER BY time", [session.process_id]
        ).to_pylist()
        trace = client.trace(session.process_id, strict=True)
    assert [(row["msg"], dict(row["properties"])) for row in rows] == [
        ("emptied", {"entries": "3"}),
        ("failed", {"order": "17"}),
    ]
    loaded = trace_processor.load(trace)
    assert loaded.errors() == []
    # The trace processor shows neither dots in names nor a null in JSON.
    shown = loaded.query(
        "SELECT name, key, int_value, real_value, string_value, value_type FROM slice JOIN args USING (arg_set_id) "
        "WHERE key GLOB 'debug.*'"
    )
    values = {
        (row["name"], row["key"].removeprefix("debug.")): (
            row["value_type"],
            next(row[name] for name in ("int_value", "real_value", "string_value") if row[name] is not None),
        )
        for row in shown
    }
    assert values == {
        ("query", "sql"): ("string", "SELECT 1"),
        ("query", "rows"): ("int", 8),
        ("query", "share"): ("real", 0.5),
        ("query", "is_cached"): ("bool", 1),
        ("query", "note"): ("string", "größe"),
        ("query", "tags[0]"): ("string", "a"),
        ("inner", "depth"): ("int", 2),
        ("failing", "error"): ("bool", 1),
        ("failing", "error_type"): ("string", "ValueError"),
        ("failing", "error_message"): ("string", "no such order"),
        ("request", "path"): ("string", "/orders"),
        ("request", "status"): ("int", 200),
        ("request", "user"): ("string", "ann"),
        ("emptied", "entries"): ("int", 3),
        ("failed", "order"): ("int", 17),
        ("failed", "level"): ("string", "error"),
    }


def test_attributes_are_noted_at_the_begin_and_at_the_end(sink: MemorySink) -> None:
    """A span that has not ended has those of its begin."""
    with tracing.span("outer", a=1) as outer:
        outer.set(b=2)
        outer.set(b=3, c=4)
        with tracing.span("inner") as inner:
            inner.set(d=5)
            outer.set(e=6)
    assert noted(sink) == [
        ("outer", True, {"a": "1"}),
        ("inner", True, {}),
        ("inner", False, {"d": "5"}),
        ("outer", False, {"b": "3", "c": "4", "e": "6"}),
    ]
    assert tracing.statistics().misplaced_ends == 0


def test_values_are_what_they_were_when_they_were_noted(sink: MemorySink) -> None:
    """Whatever the program does to them afterwards."""
    basket = ["apple"]
    with tracing.span("order", basket=basket):
        basket.append("pear")
    assert noted(sink)[0][2] == {"basket": '["apple"]'}


class Unspeakable:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(str):
    """Cannot be hashed."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class Color(enum.IntEnum):
    """An integer that is none."""

    RED = 1


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63 - 1, str(2**63 - 1)),
        (-(2**63), str(-(2**63))),
        (2**63, str(2**63)),
        (10**5000, "(int that has no text)"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (Decimal("1.5"), "1.5"),
        (Color.RED, "1"),
        (np.float64(0.5), "0.5"),
        (b"\xff", "b'\\xff'"),
        (None, "null"),
        ((1, "a", None, {"k": True}), '[1, "a", null, {"k": true}]'),
        ([math.nan], "[nan]"),
        ({1: {2}}, '{"1": "{2}"}'),
        ("\ud800x", "?x"),
        (Odd("odd"), "odd"),
        (Unspeakable(), "(Unspeakable that has no text)"),
        ([Unspeakable()], '["(Unspeakable that has no text)"]'),
        ("x" * 4095, "x" * 4095),
        ("x" * 4096, "x" * 4092 + "…"),
        ("😀" * 2000, "😀" * 1023 + "…"),
        (["x" * 5000], '["' + "x" * 4090 + "…"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_is_noted(value: object, text: str, sink: MemorySink) -> None:
    """As what it is, or as its text; nothing raises into the program."""
    with tracing.span("s", value=value):
        pass
    assert noted(sink)[0][2] == {"value": text}


def test_a_list_that_holds_itself_is_noted_as_its_text(sink: MemorySink) -> None:
    with tracing.span("s", value=CYCLE):
        pass
    assert noted(sink)[0][2] == {"value": "[[...]]"}


def test_any_key_is_taken(sink: MemorySink) -> None:
    """Also one that is no name; what is too long is cut, and an empty one becomes a question mark."""
    keys = {"": 1, "with space": 2, "名" * 100: 3, "\ud800": 4}
    with tracing.span("s", **keys) as opened:
        opened.set(name="a", self="b")
    begin, end = noted(sink)
    assert begin[2] == {"?": "4", "with space": "2", "名" * 85: "3"}
    assert end[2] == {"name": "a", "self": "b"}


def test_what_does_not_fit_is_told_with_the_span(sink: MemorySink) -> None:
    """Eight kilobytes of an event at most."""
    with tracing.span("s", **{f"k{i}": "x" * 1000 for i in range(20)}):
        pass
    (_, _, attributes), _ = noted(sink)
    assert attributes.pop("dropped_attributes") == "12"
    assert set(attributes) == {f"k{i}" for i in range(8)}


def test_memory_is_bounded_until_the_sender_has_come_by(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is room again."""
    monkeypatch.setattr(buffers, "MAX_NOTED_CHARS", 2500)
    for _ in range(2):
        for _ in range(4):
            with tracing.span("s", text="x" * 1000, n=1):
                pass
        tracing.flush()
    found = [attributes for _, is_begin, attributes in noted(sink) if is_begin]
    kept, dropped = {"text": "x" * 1000, "n": "1"}, {"dropped_attributes": "2"}
    assert found == 2 * [kept, kept, dropped, dropped]


def test_spans_that_are_refused_take_attributes_for_nothing(sink: MemorySink) -> None:
    """And those around them lose none."""
    session = tracing.start(sink=lambda: sink)
    with tracing.span("outer") as outer:
        session.recorder.threads.spans.close()
        with tracing.span("refused", a=1) as refused:
            refused.set(b=2)
        session.recorder.threads.spans.open()
        outer.set(c=3)
    assert noted(sink) == [("outer", True, {}), ("outer", False, {"c": "3"})]
    assert session.statistics().dropped_spans == 1


def test_spans_left_in_no_proper_order_keep_their_attributes(sink: MemorySink) -> None:
    """Also those that are ended by the span around them."""
    outer, inner = tracing.span("outer"), tracing.span("inner")
    with outer as opened:
        inner.__enter__().set(a=1)
        opened.set(b=2)
    inner.__exit__(None, None, None)
    assert noted(sink)[2:] == [("inner", False, {"a": "1"}), ("outer", False, {"b": "2"})]
    assert tracing.statistics().misplaced_ends == 2


def test_nothing_is_noted_while_nothing_is_recorded() -> None:
    """And all of it may be called."""
    with tracing.span("s", a=1) as opened:
        opened.set(b=2)
        tracing.set_attributes(c=3)
        tracing.instant("i", d=4)

    async def task() -> None:
        async with tracing.async_span("t", a=1) as opened:
            opened.set(b=2)

    asyncio.run(task())


def test_arguments_of_traced_functions(sink: MemorySink) -> None:
    """By the names of parameters; the receiver of a method is none."""

    class Shop:
        @tracing.traced(arguments=True)
        def sell(self, item: str, count: int = 1, *rest: object, **options: object) -> None:
            pass

    @tracing.traced(arguments=True, name="work")
    async def work(number: int) -> None:
        raise KeyError(number)

    Shop().sell("tea")
    Shop().sell("tea", 2, "as", "a gift", wrap=True)
    with pytest.raises(KeyError):
        asyncio.run(work(7))
    assert [attributes for _, is_begin, attributes in noted(sink) if is_begin] == [
        {"item": "tea"},
        {"item": "tea", "count": "2", "args": '["as", "a gift"]', "wrap": "true"},
    ]
    assert noted(sink, "async") == [
        ("work", True, {"number": "7"}),
        ("work", False, {"error": "true", "error.type": "KeyError", "error.message": "7"}),
    ]


def test_the_end_of_an_iteration_is_no_error(sink: MemorySink) -> None:
    with pytest.raises(StopIteration), tracing.span("next"):
        next(iter(()))
    assert noted(sink)[1][2] == {}


def test_forked_children_note_theirs(server: TracingServer, tmp_path: Path) -> None:
    program = """
        with tracing.start(sys.argv[1], settings=tracing.Settings(vitals_every_s=None, stop_timeout_s=60.0)) as session:
            with tracing.span("parent", of="parent") as opened:
                child = os.fork()
                if not child:
                    with tracing.span("child", of="child"):
                        pass
                    os._exit(0 if tracing.flush(100) else 1)
                wait_for(child)
                opened.set(more=1)
            print(session.process_id)
        """
    parent = run_file(tmp_path, program, server.http_url).strip()
    (child,) = children_of(server, parent)
    assert spans_of(server, parent) == {"parent": {"of": "parent", "more": "1"}}
    assert spans_of(server, child) == {"child": {"of": "child"}}


def test_many_threads_note_at_the_same_time(sink: MemorySink) -> None:
    """Each event has what was noted of it, in whatever uploads they are sent."""

    def work(number: int) -> None:
        for i in range(400):
            with tracing.span("s", thread=number, i=i) as opened:
                opened.set(end=i)

    threads = [threading.Thread(target=work, args=(number,), name=f"t{number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            tracing.flush()
        thread.join()
    tracing.flush()
    for number in range(4):
        events: list[Event] = sink.of_thread(f"t{number}")
        expected = [each for i in range(400) for each in ({"thread": str(number), "i": str(i)}, {"end": str(i)})]
        assert [event.attributes for event in events] == expected


VALUES = st.one_of(
    st.text(max_size=300),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.integers() | st.text(max_size=5), max_size=3),
)


@given(st.lists(st.dictionaries(st.text(max_size=260), VALUES, max_size=5), max_size=5))
def test_what_is_encoded_is_what_the_lake_reads(events: list[dict[str, Any]]) -> None:
    """All types, all characters: no attributes of a sender are refused, and none is lost but for room."""
    for attributes in events:
        recorded.settle(attributes)
    array = pa.array([recorded.encode(attributes) for attributes in events], pa.binary())
    stored.check(array)
    for attributes, properties in zip(events, stored.as_properties(array).to_pylist(), strict=True):
        assert all(type(value) in (str, int, float, bool, recorded.Json) for value in attributes.values())
        assert len(properties) <= len(attributes)
        if "dropped_attributes" not in dict(properties):
            assert len(properties) == len(attributes)
            for (_, text), value in zip(properties, attributes.values(), strict=True):
                if isinstance(value, str):
                    assert text == value.encode("utf-8", "replace").decode().replace("\0", "?") or text == value
                elif isinstance(value, float):
                    assert float(text) == value or math.isnan(value)
                else:
                    assert text == str(value).lower()


def test_types_are_the_same_for_recorder_and_lake() -> None:
    names = ("TEXT", "INTEGER", "FLOAT", "BOOLEAN", "JSON", "MAX_BYTES", "MAX_KEY_BYTES")
    assert [getattr(recorded, name) for name in names] == [getattr(stored, name) for name in names]


def upload_of(monkeypatch: pytest.MonkeyPatch, change: Any) -> bytes:
    """An upload of one span with attributes, of which `change` has made other ones."""
    taken: list[bytes] = []

    class Sink:
        def send(self, uploads: bytes) -> None:
            taken.append(uploads)

        def close(self) -> None:
            pass

    monkeypatch.setattr("flightsrv.tracing.uploads._without_attributes", change)
    with tracing.start(sink=Sink, settings=settings()), tracing.span("s", a=1):
        pass
    return taken[-1]


@pytest.mark.parametrize(
    ("rows", "data", "message"),
    [
        ([0, 0], b"", "expected attributes of 2 events, in their order"),
        ([2], b"", "expected attributes of 2 events, in their order"),
        ([-1], b"", "expected attributes of 2 events, in their order"),
    ],
)
def test_what_is_wrong_in_an_upload_is_told(
    rows: list[int], data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flightsrv.tracing import uploads

    original = uploads._without_attributes

    def change(block: Any, first_row: int, noted: Any, pace: Any) -> Any:
        noted.rows.extend(rows)
        noted.attributes.extend([data] * len(rows))
        return original(block, first_row, uploads._Noted([], []), pace)

    with pytest.raises(InvalidUpload, match=message):
        decode_uploads(upload_of(monkeypatch, change))


def test_a_program_with_odd_attributes_ends_as_without(tmp_path: Path) -> None:
    """Deep recursion while they are noted, for example."""
    program = """
        deep = []
        for _ in range(100_000):
            deep = [deep]
        class Nowhere:
            def send(self, uploads): pass
            def close(self): pass
        with tracing.start(sink=Nowhere):
            with tracing.span("s", deep=deep):
                pass
        print("done")
        os._exit(0)
        """
    assert run_file(tmp_path, program).strip() == "done"
    assert os.path.exists(tmp_path)
