"""The power goes while OpenTelemetry's SDK sends spans: it tries again by itself, and each span is there, once."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from tests.faults import server_process
from tests.faults.server_process import ServerProcess

NB_SENDERS = 3
NB_SPANS = 30
NB_KILLS = 2


class Patient(OTLPSpanExporter):
    """Sends once more what it has given up, as a collector does: a server may take long to start."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        while (result := super().export(spans)) != SpanExportResult.SUCCESS:
            pass
        return result


@pytest.mark.slow
def test_what_is_sent_is_there_once(tmp_path: Path) -> None:
    """Whenever the server was killed: before it stored a span, after it, or after it had said so."""
    log = tmp_path / "log"

    def start() -> ServerProcess:
        return ServerProcess(str(tmp_path / "lake"), None, log)

    server = start()
    sent = [0] * NB_SENDERS

    def send(number: int) -> None:
        exporter = Patient(endpoint=f"http://127.0.0.1:{server.port}", insecure=True)
        provider = TracerProvider(resource=Resource({"service.name": f"sender-{number}"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("sender")
        for i in range(NB_SPANS):
            tracer.start_span(f"span {i}").end()
            sent[number] += 1
        provider.shutdown()

    with (
        ThreadPoolExecutor(NB_SENDERS) as senders,
        patch.object(server_process, "free_port", return_value=server.port),
    ):
        sending = [senders.submit(send, number) for number in range(NB_SENDERS)]
        for kill in range(1, NB_KILLS + 1):
            while sum(sent) < kill * NB_SENDERS * NB_SPANS // (NB_KILLS + 1):
                time.sleep(0.01)
            server.kill()
            server = start()
        for each in sending:
            each.result()
    names = server.query("SELECT exe, name FROM spans('async')").to_pylist()
    server.stop()
    assert sorted((row["exe"], row["name"]) for row in names) == sorted(
        (f"sender-{number}", f"span {i}") for number in range(NB_SENDERS) for i in range(NB_SPANS)
    )
