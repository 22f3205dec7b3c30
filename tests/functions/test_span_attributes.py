"""`span_attributes`: keys, types and values of one span."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model import examples
from tests.model.lake import TYPE_NAMES, Reader, deliver, ingest_process, partitioned_like, text_literal, timestamp
from tests.model.spans import Span, TimeRange, stream_spans
from tests.model.strategies import Delivery, deliveries, effort
from tests.model.telemetry import property_text
from udtf.errors import InvalidArgument, NotFound
from udtf.lake.lake import Lake


def _asked(reader: Reader, process_id: str, span: Span, time_range: TimeRange) -> list[tuple[object, ...]]:
    arguments = f"{text_literal(process_id)}, {text_literal(span.stream_id)}, {span.id}"
    range_text = f"{timestamp(time_range.begin_ns)}, {timestamp(time_range.end_ns)}"
    rows = reader.rows(f"SELECT key, type, value FROM span_attributes({arguments}, {range_text})")
    return [tuple(row.values()) for row in rows]


@effort(15)
@given(delivery=deliveries(), data=st.data())
def test_attributes_are_those_of_the_model(lake: Lake, reader: Reader, delivery: Delivery, data: st.DataObject) -> None:
    """Of spans of threads and tasks, wherever they were noted, at the moment at which the span begins."""
    process = delivery.process
    spans = [span for stream in process.streams for span in stream_spans(process, stream, delivery.blocks).spans]
    noted = [span for span in spans if span.attributes] or spans
    with partitioned_like(delivery):
        deliver(lake, delivery)
        for span in data.draw(st.lists(st.sampled_from(noted), max_size=3)) if noted else []:
            found = _asked(reader, process.process_id, span, TimeRange(span.begin_ns, span.begin_ns))
            assert sorted(found) == sorted(  # type: ignore[type-var]
                (key, TYPE_NAMES[type(value)], property_text(value)) for key, value in span.attributes
            )


def test_what_is_not_there_has_none(lake: Lake, reader: Reader) -> None:
    """A span that the range does not have; a stream of another process is refused."""
    thread = examples.thread(*examples.calls(1))
    process, other = examples.process(thread), examples.process(examples.thread())
    for each in (process, other):
        ingest_process(lake, each)
    arguments = f"'{process.process_id}', '{thread.stream_id}', 0"
    assert reader.rows(f"SELECT * FROM span_attributes({arguments})") == []
    with pytest.raises(InvalidArgument, match="stream_id must be that of a stream of the process"):
        reader.rows(f"SELECT * FROM span_attributes('{other.process_id}', '{thread.stream_id}', 0)")
    with pytest.raises(NotFound, match="'unknown'"):
        reader.plan("SELECT * FROM span_attributes('unknown', 'x', 0)")
