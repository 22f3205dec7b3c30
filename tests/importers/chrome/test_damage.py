"""What is damaged in a file, or is not quite JSON, costs the events that it is in, and is told."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsrv.importers.chrome import ChromeTrace, ChromeTraceError, read_chrome_trace, window
from tests.importers.chrome.spans_of import async_spans, thread_spans

FORMS = {
    "array": "[%s]",
    "array without an end": "[%s",
    "comma at the end": "[\n%s,\n]",
    "object": '{"displayTimeUnit": "ms", "traceEvents": [%s]}',
    "object, comma": '{"traceEvents":[%s,],"otherData":{"note":"} ] [{"}}',
    "odd neighbours": '{"otherData": {"r": nan, "l": [1,]}, "n": -inf, "m": "\\p", "traceEvents" : [ %s ] , "x": ""}',
}


@pytest.fixture(params=[1 << 18, 7], ids=["large parts", "small parts"], autouse=True)
def part_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a file holds, it may lie where one part that is read ends and the next begins."""
    monkeypatch.setattr(window, "_PART_BYTES", request.param)


def event(name: str, number: int = 0, others: str = "") -> str:
    """A complete event as JSON text; times do not matter here, but they differ by the number."""
    return f'{{"ph":"X","pid":1,"tid":1,"ts":{10 * number},"dur":5,"name":{json.dumps(name)}{others}}}'


def read(folder: Path, content: bytes | str) -> ChromeTrace:
    path = folder / "trace.json"
    path.write_bytes(content.encode(errors="surrogateescape") if isinstance(content, str) else content)
    return read_chrome_trace(path)


def names(trace: ChromeTrace) -> list[str]:
    """Of all spans, by their begins."""
    return [span.name for spans in thread_spans(trace).values() for span in spans]


def _has_spans(tags: tuple[str, ...]) -> bool:
    return bool({"thread", "async"} & set(tags))


ODD_VALUES = [
    *("NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "-nan(ind)", "1.#INF", "undefined", "None", "True"),
    *("0x1F", "007", "1.", ".5", "+1", "1e", "'text'", "new Date(0)", "[1,]", '{"a":1,}', "{a:1}", '{"a" 1}'),
    *('"a\nb"', '"a\tb"', '"\x00"', '"\x1b[1m"', '"\\p\\x41"', '"\\ud800"', '"\udcff\udcc3"', '"C:\\temp\\x"'),
    *("[" * 5_000 + "]" * 5_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "9" * 5_000, "1e999999999999999999999"),
    *('{"b":{"c":nan}}', '"}"', '"]"', '"\\""', '"\\\\"', '"{\\"ph\\":\\"X\\"}"', "{}", "[]", "null", '[{"ph":"X"}]'),
]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("value", ODD_VALUES, ids=[value[:12].encode(errors="replace").hex() for value in ODD_VALUES])
def test_odd_values_in_arguments_cost_nothing(tmp_path, form, value):
    """Nothing of them is needed; the event and its neighbours are there, and no damage is told."""
    odd = [event("odd", 1, f',"args":{{"value":{value},"n":1}}'), event("outer", 2, f',"args":[{value}]')]
    trace = read(tmp_path, form % ",".join([event("before"), *odd, event("after", 3)]))
    assert names(trace) == ["before", "odd", "outer", "after"]
    assert (trace.findings.damages, trace.findings.is_cut) == (0, False)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('"lib = Library(\n  x): <module>"', "lib = Library(\n  x): <module>"),
        ('"a\tb\x1b\x7f"', "a\tb\x1b\x7f"),
        ('"a\x00\\u0000b"', "ab"),
        ('"caf\udce9"', "caf?"),
        ('"\\ud83d"', "?"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"C:\\Windows\\System32"', "C:\\Windows\\System32"),
        ('"\\"C:\\\\x\\q\\""', '"C:\\x\\q"'),
        ('"täler"', "täler"),
    ],
)
def test_odd_text_in_names_comes_through(tmp_path, written, name):
    """As far as it is text."""
    odd = event("odd", 1).replace('"odd"', written)
    trace = read(tmp_path, f"[{event('before')},{odd},{event('after', 2)}]")
    assert names(trace) == ["before", name, "after"]
    assert trace.findings.damages == 0


def test_names_are_read_out_of_odd_arguments(tmp_path):
    """Metadata has its name in them."""
    thread = '{"ph":"M","pid":1,"tid":1,"name":"thread_name","args":{"rate":nan,"name":"worker"}}'
    assert list(thread_spans(read(tmp_path, f"[{thread},{event('a')}]"))) == [("1", "worker")]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "broken",
    [
        event("lost", 1)[1:],
        event("lost", 1)[:-1],
        event("lost", 1).replace('"lost"', '"lost'),
        event("lost", 1).replace('"lost"', 'lost"'),
        event("lost", 1).replace('"lost"', '"lo"st"'),
        event("lost", 1).replace(":5", " 5"),
        event("lost", 1).replace(":5,", ":5"),
        event("lost", 1, ',"args":{"a":{"b":1}').replace('"lost"', '"lost'),
        event("lost", 1, ',"args":[{"a":1},{"b":2}]').replace('"ph"', "ph"),
        "\0\0\0",
        "<html>{}</html>",
        "]",
        "}",
    ],
)
def test_a_damaged_event_costs_itself_alone(tmp_path, form, broken):
    """Its neighbours are there, and the place is told; what ends the list too early is no different."""
    trace = read(tmp_path, form % ",".join([event("before"), broken, event("after", 2), event("last", 3)]))
    assert names(trace) == ["before", "after", "last"]
    assert trace.findings.damages >= 1
    assert "not JSON, what is there left out (first: " in "\n".join(trace.findings.describe())


@pytest.mark.parametrize("between", ["", " ", "\n", ",,", ", ,\n", "\r\n", ";", "\0\0", "null,", "{},"])
def test_events_may_be_parted_by_anything(tmp_path, between):
    """A comma more or less, or what a crash left there."""
    assert names(read(tmp_path, f"[{event('a')}{between}{event('b', 1)}]")) == ["a", "b"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("tail", ["", "\0" * 5000, "\n\n", "\n]", "}"])
def test_what_is_behind_the_end_is_no_matter(tmp_path, form, tail):
    """Least of all the zeros of a file that was made larger than it became."""
    trace = read(tmp_path, form % event("a") + tail)
    assert names(trace) == ["a"]
    assert trace.findings.damages == 0


@pytest.mark.parametrize("first", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("second", FORMS.values(), ids=FORMS)
def test_files_that_were_put_together_are_read_to_the_end(tmp_path, first, second):
    """Not only the first of them."""
    trace = read(tmp_path, first % event("a") + "\n" + second % event("b", 1))
    assert names(trace) == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_text_may_be_encoded_otherwise(tmp_path, encoding, form):
    """As some systems do where output is sent into a file."""
    assert names(read(tmp_path, (form % event("täler😀")).encode(encoding))) == ["täler😀"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_file_may_be_cut_anywhere(tmp_path, form):
    """Every event that is whole is imported, and no other. Only a bare array is not told to be cut, between events."""
    events = [event("täler", 0, ',"args":{"a":"}{"}'), event("b]", 1), event('"c"', 2)]
    whole = (form % ", ".join(events)).encode()
    ends = [whole.index(each.encode()) + len(each.encode()) for each in events]
    first = whole.index(events[0].encode())
    for length in range(len(whole)):
        expected = ["täler", "b]", '"c"'][: sum(end <= length for end in ends)]
        try:
            trace = read(tmp_path, whole[:length])
        except ChromeTraceError:
            assert not expected
            continue
        assert names(trace) == expected, whole[:length]
        assert length >= first - 1
        told = trace.findings.describe()
        is_told = "The file ends in the middle: it seems to be cut." in told
        may_be_open = form.startswith("[")
        assert is_told or may_be_open, whole[:length]
        if may_be_open and whole[:length].rstrip(b", \n").endswith((b"]", b"}", b"[")) and length in ends:
            assert not is_told


def test_a_compressed_file_may_be_cut_anywhere(tmp_path):
    """What can be decompressed is imported."""
    many = [event(f"name {number * 7919}", number) for number in range(200)]
    whole = gzip.compress(f"[{','.join(many)}]".encode())
    expected = names(read(tmp_path, gzip.decompress(whole)))
    lengths = []
    for length in range(len(whole) - 200, len(whole), 13):
        trace = read(tmp_path, whole[:length])
        found = names(trace)
        assert found == expected[: len(found)]
        assert trace.findings.broken_gzip
        assert any(line.startswith("The gzip data is damaged") for line in trace.findings.describe())
        lengths.append(len(found))
    assert lengths[-1] == 200
    damaged = bytearray(whole)
    damaged[-6] ^= 1  # of the checksum
    trace = read(tmp_path, bytes(damaged))
    assert (names(trace), trace.findings.broken_gzip is None) == (expected, False)


def test_several_compressed_parts_are_one_file(tmp_path):
    """As gzip has it."""
    parts = f"[{event('a')},", f"{event('b', 1)}]"
    trace = read(tmp_path, b"".join(gzip.compress(part.encode()) for part in parts))
    assert names(trace) == ["a", "b"]


def test_an_event_may_be_of_any_size(tmp_path):
    """Also one that is larger than what is read at once, several times."""
    large = event("large", 1, f',"args":{{"image":"{"x" * 3_000_000}","list":{list(range(10_000))}}}')
    if window._PART_BYTES < 100:
        large = event("large", 1, f',"args":{{"image":"{"x" * 30_000}"}}')
    assert names(read(tmp_path, f"[{event('before')},{large},{event('after', 2)}]")) == ["before", "large", "after"]


@given(
    st.sampled_from(list(FORMS.values())),
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.sampled_from(["flip", "cut", "drop", "add"]),
            st.integers(0, 7),
            st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\0", b"\xff", b"nan", b'{"ph":']),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_no_event_is_lost_without_a_word(tmp_path_factory, form, damages):
    """Whatever happens to the bytes of a file: it is refused with a reason, or what is missing is told."""
    events = [event(f"name {number}", number, ',"args":{"l":[1,{"b":"}"}]}') for number in range(6)]
    data = bytearray((form % ",".join(events)).encode())
    for place, kind, bit, text in damages:
        place %= len(data) or 1
        if kind == "flip" and data:
            data[place] ^= 1 << bit
        elif kind == "cut":
            del data[max(place, len(data) // 2) :]
        elif kind == "drop":
            del data[place : place + bit]
        else:
            data[place:place] = text
    try:
        trace = read(tmp_path_factory.mktemp("damaged"), bytes(data))
    except ChromeTraceError:
        return
    findings = trace.findings
    told = (
        findings.damages
        + findings.is_cut
        + sum(findings.other_kinds.values())
        + sum(left.count for left in findings.unusable.values())
        + findings.unmatched_ends
    )
    # A letter that was flipped makes a counter or an instant of a span.
    moments = sum(
        len(events) for stream, events in zip(trace.streams, trace.events, strict=True) if not _has_spans(stream.tags)
    )
    lost = 6 - len(names(trace)) - len(async_spans(trace)) - moments
    is_open_array_cut_between_events = form.startswith("[") and data.rstrip(b"\0, \n").endswith(b"}")
    assert lost <= 0 or told or is_open_array_cut_between_events or b'"ph":"M"' in data, bytes(data)
