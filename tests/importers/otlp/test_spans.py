"""What becomes of spans: of the Python SDK as it is, over both protocols, and of shapes that it does not send."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from flightsrv.client import QueryClient
from tests.importers.otlp.conftest import Receiver
from tests.importers.otlp.sent import START_NS, TRACES, attributes, call, new_service, process_id_of, resource
from tests.importers.otlp.test_logs_and_metrics import trace_of
from tests.model.trace_reader import Slice
from tests.support.trace_processor import TraceProcessor

Exporter = Callable[[Receiver], SpanExporter]
NB_THREADS = 5


def over_grpc(receiver: Receiver) -> SpanExporter:
    return GrpcExporter(endpoint=f"http://127.0.0.1:{receiver.grpc_ports[0]}", insecure=True, timeout=120)


def over_http(receiver: Receiver) -> SpanExporter:
    return HttpExporter(endpoint=f"{receiver.gateway.url}/v1/traces", compression=Compression.Gzip, timeout=120)


def run_program(provider: TracerProvider) -> None:
    """Threads that call functions, of which one fails; a span that outlives the one that began it."""
    tracer = provider.get_tracer("app.tracer")
    outliving: list[Any] = []

    def work(number: int) -> None:
        thread = {"thread.id": 100 + number, "thread.name": f"worker-{number}"}
        with tracer.start_as_current_span("work", attributes={**thread, "rows": 3, "ratio": 0.5, "tags": ["a", "b"]}):
            for _ in range(3):
                with tracer.start_as_current_span("step", attributes=thread) as step:
                    step.add_event("reached", {"where": "here"})
            if number == 0:
                outliving.append(tracer.start_span("request", kind=api.SpanKind.SERVER))
            if number == 1:
                with pytest.raises(ValueError, match="no good"), tracer.start_as_current_span("bad", attributes=thread):
                    raise ValueError("no good")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(NB_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outliving[0].end()


@pytest.mark.parametrize("exporter", [over_grpc, over_http])
def test_the_python_sdk(
    exporter: Exporter, receiver: Receiver, client: QueryClient, trace_processor: TraceProcessor
) -> None:
    """Spans with their times, ids and attributes; those of threads on their tracks, others on lanes; what happened
    within them, and that one failed, as instants; as Perfetto's own trace processor reads the trace, too."""
    service = new_service()
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter(receiver)))
    run_program(provider)
    provider.shutdown()
    process_id = process_id_of(client, service)
    rows = client.query("SELECT * FROM process_spans($1, 'async')", [process_id]).to_pylist()
    assert sorted(row["name"] for row in rows) == sorted(
        ["work", "step", "step", "step"] * NB_THREADS + ["request", "bad"]
    )
    by_id = {row["id"]: row for row in rows}
    assert len(by_id) == len(rows)
    for row in rows:
        outer = by_id.get(row["parent"])
        assert (outer and outer["name"]) == (None if row["name"] == "work" else "work")
        assert outer is None or outer["begin"] <= row["begin"]
        assert row["target"] == "app.tracer"
    (work, *_) = [row for row in rows if row["name"] == "work"]
    noted = dict(work["properties"])
    assert len(noted.pop("trace_id")) == 32
    assert (noted, work["thread_name"][:7]) == ({"rows": "3", "ratio": "0.5", "tags": '["a", "b"]'}, "worker-")
    (bad,) = [dict(row["properties"]) for row in rows if row["name"] == "bad"]
    assert (bad["error"], bad["error.message"]) == ("true", "ValueError: no good")
    (request,) = [dict(row["properties"]) for row in rows if row["name"] == "request"]
    assert request["span.kind"] == "server"

    trace = trace_of(client, process_id)
    on_threads = {track.thread_name: [each.name for each in track.slices] for track in trace.thread_tracks}
    steps = ["work", "step", "step", "step"]
    assert on_threads == {f"worker-{number}": [*steps, "bad"] if number == 1 else steps for number in range(NB_THREADS)}
    assert [[each.name for each in lane.slices] for lane in trace.lanes] == [["request"]]
    work_slices = [each for track in trace.thread_tracks for each in track.slices if each.name == "work"]
    assert {(s.annotations["rows"], s.annotations["ratio"]) for s in work_slices} == {(3, 0.5)}
    marks: list[Slice] = [mark for track in trace.thread_tracks for mark in track.instants]
    assert sorted({mark.name for mark in marks}) == ["ValueError: no good", "exception: ValueError: no good", "reached"]
    assert {mark.annotations["where"] for mark in marks if mark.name == "reached"} == {"here"}
    assert [mark.annotations["level"] for mark in marks if mark.name == "ValueError: no good"] == ["error"]

    chunks = client.query(
        "SELECT chunk_data FROM perfetto_trace_chunks($1, 'async', TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01')",
        [process_id],
    )
    loaded = trace_processor.load(b"".join(chunks["chunk_data"].to_pylist()))
    assert loaded.errors() == []
    expected = {(row["name"], row["begin"].value, row["duration"]) for row in rows}
    assert {(s.name, s.begin_ns, s.duration_ns) for s in loaded.slices()} == expected


FLOWS = """
    SELECT cause.name AS cause, caused.name AS caused, cause_track.name AS cause_track
    FROM flow
    JOIN slice AS begin ON begin.id = flow.slice_out JOIN slice AS cause ON cause.id = begin.parent_id
    JOIN slice AS finish ON finish.id = flow.slice_in JOIN slice AS caused ON caused.id = finish.parent_id
    JOIN track AS cause_track ON cause_track.id = cause.track_id
    WHERE begin.name = 'link' AND finish.name = 'link'
    ORDER BY cause, caused
"""


def test_links_of_the_python_sdk(receiver: Receiver, client: QueryClient, trace_processor: TraceProcessor) -> None:
    """From each span that another names to that one: of threads and on lanes, of the same process and of another, in
    traces, as rows, and to `caused_spans`."""
    services = [new_service(), new_service()]
    providers = [TracerProvider(resource=Resource.create({"service.name": service})) for service in services]
    for provider in providers:
        provider.add_span_processor(BatchSpanProcessor(over_grpc(receiver)))
    maker, taker = (provider.get_tracer("app.tracer") for provider in providers)
    thread = {"thread.id": 7, "thread.name": "producer"}
    made = [maker.start_span(f"make {number}", attributes=thread if number == 0 else None) for number in range(2)]
    of_made = [api.Link(span.get_span_context(), {"number": number}) for number, span in enumerate(made)]
    own = maker.start_span("check", links=of_made[:1])
    batch = taker.start_span("batch", links=of_made)
    inner = taker.start_span("item", context=api.set_span_in_context(batch))
    for span in (inner, batch, own, *made[::-1]):
        span.end()
    unknown = api.SpanContext(trace_id=1, span_id=2, is_remote=True)
    taker.start_span("alone", links=[api.Link(unknown)]).end()
    for provider in providers:
        provider.shutdown()
    maker_id, taker_id = (process_id_of(client, service) for service in services)

    rows = client.query(f"SELECT * FROM view_instance('links', '{taker_id}') ORDER BY from_span_id <> 2").to_pylist()
    assert [row["from_span_id"] for row in rows[:1]] == [2]
    ids = {row["id"]: row for row in client.query("SELECT * FROM spans('async')").to_pylist()}
    found = [
        (ids[row["from_span_id"]]["name"], ids[row["span_id"]]["name"], dict(row["properties"])) for row in rows[1:]
    ]
    trace_ids = [f"{span.get_span_context().trace_id:032x}" for span in made]
    assert sorted(found, key=lambda each: each[0]) == [
        (f"make {number}", "batch", {"number": str(number), "trace_id": trace_ids[number]}) for number in range(2)
    ]
    (first,) = [row for row in ids.values() if row["process_id"] == maker_id and row["name"] == "make 0"]
    caused = client.query("SELECT name FROM caused_spans($1, $2, $3)", [maker_id, first["stream_id"], first["id"]])
    assert sorted(caused["name"].to_pylist()) == ["check", "make 0"]

    for ids_of_trace, expected in (
        ([maker_id], [("make 0", "check")]),
        ([taker_id], []),
        ([maker_id, taker_id], [("make 0", "batch"), ("make 0", "check"), ("make 1", "batch")]),
    ):
        loaded = trace_processor.load(client.trace(ids_of_trace))
        assert loaded.errors() == []
        flows = loaded.query(FLOWS)
        assert [(flow["cause"], flow["caused"]) for flow in flows] == expected


def test_a_span_may_have_many_links(receiver: Receiver, client: QueryClient, trace_processor: TraceProcessor) -> None:
    """Each has an arrow, and none is shown inside of another, also between spans of which one begins too late."""
    service = new_service()
    count = 700
    made = [span(f"make {number}", number, count, number + 1) for number in range(count)]
    links = [Span.Link(span_id=each.span_id, trace_id=each.trace_id) for each in made]
    later, over = span("later", 5000, 6000, 3001), span("over", 0, 4000, 3002)
    over.links.append(Span.Link(span_id=later.span_id))
    batch = span("batch", 2000, 9000, 3000)
    batch.links.extend([*links, Span.Link(span_id=later.span_id), Span.Link(span_id=b"short")])
    call(receiver.grpc_ports[0], TRACES, spans_of(service, *made, later, over, batch))
    loaded = trace_processor.load(client.trace(process_id_of(client, service)))
    assert loaded.errors() == []
    flows = loaded.query(FLOWS)
    assert {(flow["cause"], flow["caused"]) for flow in flows} == {
        *((each.name, "batch") for each in made),
        ("later", "batch"),
    }
    assert len(flows) == count + 1


def spans_of(service: str, *spans: Span) -> bytes:
    of_resource = ResourceSpans(resource=resource(service), scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[of_resource]).SerializeToString()


def span(name: str, begin: int, end: int, span_id: int, **values: Any) -> Span:
    return Span(
        name=name,
        start_time_unix_nano=START_NS + begin,
        end_time_unix_nano=START_NS + end,
        span_id=span_id.to_bytes(8, "big"),
        trace_id=b"t" * 16,
        **values,
    )


def test_odd_spans(receiver: Receiver, client: QueryClient) -> None:
    """Ids with all bits, attributes that are too large; what is no span is left out, and told."""
    service = new_service()
    highest = (1 << 64) - 2
    large = attributes(text="x" * 20_000, other="y" * 20_000, count=7)
    right = [
        span("right", 0, 9, highest, attributes=large),
        span("child", 1, 2, 7, parent_span_id=b"\xff" * 7 + b"\xfe"),
    ]
    wrong = [span("backwards", 5, 4, 1), span("without id", 0, 1, 0), span("before", -START_NS, 1, 3)]
    answer = ExportTraceServiceResponse.FromString(
        call(receiver.grpc_ports[0], TRACES, spans_of(service, *right, *wrong))
    )
    assert answer.partial_success.rejected_spans == 3
    for reason in ("'backwards' ends 1 ns before it begins", "'without id' has the id '0000", "'before' is from 0 to"):
        assert reason in answer.partial_success.error_message
    process_id = process_id_of(client, service)
    rows = client.query("SELECT * FROM process_spans($1, 'async') ORDER BY begin", [process_id]).to_pylist()
    assert [(row["name"], row["id"], row["parent"], row["depth"]) for row in rows] == [
        ("right", -2, 0, 0),
        ("child", 7, -2, 1),
    ]
    found = client.query(
        "SELECT name FROM process_spans($1, 'async') WHERE to_hex(id) = 'fffffffffffffffe'", [process_id]
    )
    assert found["name"].to_pylist() == ["right"]
    noted = dict(rows[0]["properties"])
    assert (noted["count"], noted["trace_id"]) == ("7", (b"t" * 16).hex())
    assert 4000 < len(noted["text"]) < 4096
    assert (set(noted["text"]) - {"x"}, noted["dropped_attributes"]) == ({"…"}, "1")


def test_a_call_of_another_process(receiver: Receiver, client: QueryClient, trace_processor: TraceProcessor) -> None:
    """Its two spans are linked in a trace of both; those within a process are shown by where they lie."""
    services = [new_service(), new_service()]
    kinds = (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER)
    ask, answer, put, take = (
        span(name, at, 100 - at, number, kind=kind, parent_span_id=parent.to_bytes(8, "big"))
        for (name, at, number, parent), kind in zip(
            [("ask", 1, 2, 1), ("answer", 2, 3, 2), ("put", 3, 4, 3), ("take", 4, 5, 4)], kinds, strict=True
        )
    )
    for service, spans in zip(services, [(span("work", 0, 100, 1), ask, take), (answer, put)], strict=True):
        call(receiver.grpc_ports[0], TRACES, spans_of(service, *spans))
    ids = ",".join(process_id_of(client, service) for service in services)
    chunks = client.query(
        "SELECT chunk_data FROM perfetto_trace_chunks($1, 'all', TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01')", [ids]
    )
    loaded = trace_processor.load(b"".join(chunks["chunk_data"].to_pylist()))
    assert loaded.errors() == []
    flows = "SELECT o.name AS o, i.name AS i FROM flow JOIN slice o ON o.id = slice_out JOIN slice i ON i.id = slice_in"
    assert sorted((row["o"], row["i"]) for row in loaded.query(flows)) == [("ask", "answer"), ("put", "take")]


def test_a_span_that_comes_late(receiver: Receiver, client: QueryClient) -> None:
    """Is in its time, and so is its process."""
    service = new_service()
    minute = 60 * 10**9
    for number in (30, 31, 32):
        sent = spans_of(service, span("short", number * minute, number * minute + 5, number))
        call(receiver.grpc_ports[1], TRACES, sent)
    call(receiver.grpc_ports[0], TRACES, spans_of(service, span("long", 0, 31 * minute, 99, status=Status(code=2))))
    sql = (
        "SELECT name FROM spans('async', TIMESTAMP '2026-01-01T10:00:00Z', TIMESTAMP '2026-01-01T10:{}:00Z') "
        "WHERE exe = $1 ORDER BY begin"
    )
    assert client.query(sql.format("01"), [service])["name"].to_pylist() == ["long"]
    assert client.query(sql.format("30"), [service])["name"].to_pylist() == ["long", "short"]
    process_id = process_id_of(client, service)
    (mark,) = client.query(f"SELECT * FROM view_instance('log_entries', '{process_id}')").to_pylist()
    assert (mark["msg"], mark["level"], mark["time"].value) == ("long failed", "error", START_NS + 31 * minute)
    assert dict(mark["properties"])["span_id"] == f"{99:016x}"
