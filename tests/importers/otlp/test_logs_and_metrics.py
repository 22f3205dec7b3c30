"""What becomes of logs and metrics: of the Python SDK as it is, over both protocols, and of shapes that it does not
send."""

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
from opentelemetry._logs import LogRecord as ApiRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from flightsrv.client import QueryClient
from tests.importers.otlp.conftest import Receiver
from tests.importers.otlp.sent import (
    LOGS,
    METRICS,
    START_NS,
    attributes,
    call,
    line,
    logs_of,
    messages_of,
    new_service,
    process_id_of,
    resource,
)
from tests.model.trace_reader import Trace, read_trace

Exporters = Callable[[Receiver], tuple[Any, Any]]


def over_grpc(receiver: Receiver) -> tuple[Any, Any]:
    endpoint = f"http://127.0.0.1:{receiver.grpc_ports[1]}"
    return (
        grpc_logs.OTLPLogExporter(endpoint=endpoint, insecure=True, timeout=120),
        grpc_metrics.OTLPMetricExporter(endpoint=endpoint, insecure=True, timeout=120),
    )


def over_http(receiver: Receiver) -> tuple[Any, Any]:
    url = receiver.exports.url
    return (
        http_logs.OTLPLogExporter(endpoint=f"{url}/v1/logs", compression=Compression.Gzip, timeout=120),
        http_metrics.OTLPMetricExporter(endpoint=f"{url}/v1/metrics", timeout=120),
    )


def trace_of(client: QueryClient, process_id: str) -> Trace:
    chunks = client.query(
        "SELECT chunk_data FROM perfetto_trace_chunks($1, 'all', TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01')",
        [process_id],
    )
    return read_trace(b"".join(chunks["chunk_data"].to_pylist()))


@pytest.mark.parametrize("exporters", [over_grpc, over_http])
def test_the_python_sdk(exporters: Exporters, receiver: Receiver, client: QueryClient) -> None:
    """One process, whichever signal tells of it; lines of its log; counters of its metrics."""
    service = new_service()
    logs_exporter, metrics_exporter = exporters(receiver)
    described = Resource.create({"service.name": service, "process.pid": 4711, "host.name": "podium"})
    logs = LoggerProvider(resource=described)
    logs.add_log_record_processor(BatchLogRecordProcessor(logs_exporter))
    at = {"code.function.name": "work", "code.file.path": "/app/work.py", "code.line.number": 12}
    for number, severity in enumerate((SeverityNumber.WARN2, SeverityNumber.FATAL, None)):
        logs.get_logger("app.work").emit(
            ApiRecord(
                timestamp=START_NS + number, severity_number=severity, body={"number": number}, attributes=cast(Any, at)
            )
        )
    logs.shutdown()
    metrics = MeterProvider([PeriodicExportingMetricReader(metrics_exporter)], described)
    meter = metrics.get_meter("app.meter")
    requests = meter.create_counter("requests", "{request}")
    requests.add(3, {"route": "/a", "code": 200})
    requests.add(4)
    for value in (1.0, 3.0, 700.0):
        meter.create_histogram("latency", "ms").record(value)
    metrics.shutdown()

    process_id = process_id_of(client, service)
    (process,) = client.query("SELECT * FROM processes WHERE process_id = $1", [process_id]).to_pylist()
    properties = dict(process["properties"])
    assert (process["computer"], properties["pid"], properties["telemetry.sdk.language"]) == (
        "podium",
        "4711",
        "python",
    )
    rows = client.query(f"SELECT * FROM view_instance('log_entries', '{process_id}') ORDER BY time").to_pylist()
    assert [(row["time"].value, row["level"], row["msg"], row["thread_name"]) for row in rows] == [
        (START_NS, "warn", '{"number":0}', None),
        (START_NS + 1, "fatal", '{"number":1}', None),
        (START_NS + 2, None, '{"number":2}', None),
    ]
    assert {(row["target"], row["name"], row["filename"], row["line"]) for row in rows} == {
        ("app.work", "work", "/app/work.py", 12)
    }
    rows = client.query(f"SELECT * FROM view_instance('measures', '{process_id}')").to_pylist()
    values = {row["name"]: (row["value"], row["unit"]) for row in rows if not row["name"].startswith("otel.")}
    p50, p90, p99 = (values.pop(f"latency.p{quantile}")[0] for quantile in (50, 90, 99))
    assert values == {
        "requests": (4.0, "{request}"),
        "requests{code=200, route=/a}": (3.0, "{request}"),
        "latency.count": (3.0, ""),
        "latency.sum": (704.0, "ms"),
        "latency.min": (1.0, "ms"),
        "latency.max": (700.0, "ms"),
    }
    assert 1.0 <= p50 <= 5.0 < p90 <= p99 <= 700.0

    trace = trace_of(client, process_id)
    instants = {
        (mark.name, mark.annotations.get("level")) for track in trace.tracks.values() for mark in track.instants
    }
    assert instants == {('{"number":0}', "warn"), ('{"number":1}', "fatal"), ('{"number":2}', None)}
    counters = {(track.name, track.unit) for track in trace.tracks.values() if track.values}
    assert {("requests", "{request}"), ("latency.p99", "ms")} <= counters


def test_processes_are_told_apart(receiver: Receiver, client: QueryClient) -> None:
    """By what identifies a run of a program, not by what else is said of it."""
    service = new_service()
    for values in (
        {"process__pid": 1},
        {"process__pid": 2},
        {"process__pid": 2, "telemetry__sdk__language": "go"},
        {"process__pid": 2, "host__name": "other"},
    ):
        request = logs_of(service, line("hello"))
        request.resource_logs[0].resource.CopyFrom(resource(service, **cast(dict[str, Any], values)))
        call(receiver.grpc_ports[0], LOGS, request.SerializeToString())
    found = client.query("SELECT count(*) AS n FROM processes WHERE exe = $1", [service])
    assert found["n"].to_pylist() == [3]


def test_a_process_begins_with_its_earliest_event(receiver: Receiver, client: QueryClient) -> None:
    """Also if that comes late, so that what looks for processes in a range finds it."""
    service = new_service()
    for at_ns in (5, 2, 9):
        call(receiver.grpc_ports[0], LOGS, logs_of(service, line("x", at_ns)).SerializeToString())
    (row,) = client.query("SELECT start_time, last_block_end_time FROM processes WHERE exe = $1", [service]).to_pylist()
    assert (row["start_time"].value, row["last_block_end_time"].value) == (START_NS + 2, START_NS + 9)


def test_odd_log_records(receiver: Receiver, client: QueryClient) -> None:
    """Texts that are too long are cut, a body may be anything, and what is of a thread says so."""
    service = new_service()
    array = AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(bytes_value=b"\xff"), AnyValue()]))
    long = line("é" * 20_000, 1)
    structured, named = line("", 2), line("", 3, event_name="started")
    structured.body.CopyFrom(array)
    of_thread = line("on a thread", 4, attributes=attributes(thread__id=7, thread__name="worker"))
    virtual = line("on a thread without a name", 5, attributes=attributes(thread__id=8, thread__name=""))
    sent = logs_of(service, long, structured, named, of_thread, virtual)
    call(receiver.grpc_ports[0], LOGS, sent.SerializeToString())
    cut, *others = messages_of(client, service)
    assert (len(cut.encode()), cut[-2:]) == (16383, "é…")
    assert others == ['[1,"ff",null]', "started", "on a thread", "on a thread without a name"]
    process_id = process_id_of(client, service)
    rows = client.query(f"SELECT thread_name FROM view_instance('log_entries', '{process_id}') ORDER BY time")
    assert rows["thread_name"].to_pylist() == [None, None, None, "worker", None]


def point(**values: Any) -> dict[str, Any]:
    return {"time_unix_nano": START_NS, **values}


def test_every_kind_of_metric(receiver: Receiver, client: QueryClient) -> None:
    """Gauges, sums, three kinds of histograms; what is no number is left out."""
    service = new_service()
    buckets = pb.ExponentialHistogramDataPoint.Buckets
    exponential = pb.ExponentialHistogramDataPoint(
        **point(count=4, sum=-1.0, scale=0, zero_count=1),
        positive=buckets(offset=2, bucket_counts=[0, 2]),
        negative=buckets(offset=0, bucket_counts=[1]),
    )
    empty = pb.HistogramDataPoint(**point(count=0, explicit_bounds=[1.0], bucket_counts=[0, 0]))
    summary = pb.SummaryDataPoint(
        **point(count=9, sum=90.0), quantile_values=[pb.SummaryDataPoint.ValueAtQuantile(quantile=0.999, value=70.0)]
    )
    metrics = [
        pb.Metric(name="gauge", unit="By", gauge=pb.Gauge(data_points=[pb.NumberDataPoint(**point(as_int=-7))])),
        pb.Metric(name="sum", sum=pb.Sum(data_points=[pb.NumberDataPoint(**point(as_double=0.5))])),
        pb.Metric(name="nan", sum=pb.Sum(data_points=[pb.NumberDataPoint(**point(as_double=math.nan))])),
        pb.Metric(name="gone", gauge=pb.Gauge(data_points=[pb.NumberDataPoint(**point(flags=1))])),
        pb.Metric(name="exp", exponential_histogram=pb.ExponentialHistogram(data_points=[exponential])),
        pb.Metric(name="empty", histogram=pb.Histogram(data_points=[empty])),
        pb.Metric(name="summary", unit="s", summary=pb.Summary(data_points=[summary])),
        pb.Metric(name="nothing"),
    ]
    of_resource = pb.ResourceMetrics(resource=resource(service), scope_metrics=[pb.ScopeMetrics(metrics=metrics)])
    request = ExportMetricsServiceRequest(resource_metrics=[of_resource])
    answer = ExportMetricsServiceResponse.FromString(call(receiver.grpc_ports[0], METRICS, request.SerializeToString()))
    assert answer.partial_success.rejected_data_points == 1
    assert answer.partial_success.error_message == "a point of 'nan' is not a number"
    process_id = process_id_of(client, service)
    rows = client.query(f"SELECT * FROM view_instance('measures', '{process_id}')").to_pylist()
    assert {row["name"]: (row["value"], row["unit"]) for row in rows} == {
        "gauge": (-7.0, "By"),
        "sum": (0.5, ""),
        "exp.count": (4.0, ""),
        "exp.sum": (-1.0, ""),
        # One value in [-2, -1], one zero, two in [8, 16].
        "exp.p50": (0.0, ""),
        "exp.p90": (14.4, ""),
        "exp.p99": (15.84, ""),
        "empty.count": (0.0, ""),
        "summary.count": (9.0, ""),
        "summary.sum": (90.0, "s"),
        "summary.p99.9": (70.0, "s"),
    }
