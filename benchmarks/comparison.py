"""What does a span cost in other tracers? `python -m benchmarks.comparison [ROUNDS]`

In one run, each in programs of its own that take turns, so that what else the machine does hits all of them. Whatever
is recorded is encoded as it would be sent or written, and then discarded; no tracer may drop anything.

It needs `logfire`, `opentelemetry-sdk`, `opentelemetry-exporter-otlp-proto-http` and `viztracer`, and may be run in an
environment that has nothing else, with the folder of the repository as the current one. What is not installed is left
out. Needs Linux. Prints a table.
"""

import asyncio
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

SPANS = 4_000
"""In one run, after which all is sent."""
RUNS = 5
"""In one program, after one that does not count."""
BURST = 50_000
"""Spans as fast as they can, with the settings that a tracer has by itself."""


class Recording(NamedTuple):
    """A tracer at work: records so many spans, has all of them encoded, and says how many bytes, and how many spans,
    that were so far."""

    record: Callable[[int], None]
    flush: Callable[[], object]
    nb_bytes: Callable[[], int]
    nb_spans: Callable[[], int]


class _Nowhere:
    """A sink that counts bytes."""

    nb_bytes = 0

    def send(self, uploads: bytes) -> None:
        self.nb_bytes += len(uploads)

    def close(self) -> None:
        pass


def _started(record: Callable[[int], None], is_burst: bool) -> Recording:
    from flightsrv import tracing

    nowhere = _Nowhere()
    session = tracing.start(sink=lambda: nowhere, settings=tracing.Settings(vitals_every_s=None))
    tracing.flush()
    return Recording(record, tracing.flush, lambda: nowhere.nb_bytes, lambda: session.statistics().sent_events // 2)


def _flightsrv(is_burst: bool) -> Recording:
    from flightsrv.tracing import span

    def record(spans: int) -> None:
        for _ in range(spans // 2):
            with span("outer"), span("inner"):
                pass

    return _started(record, is_burst)


def _flightsrv_attributes(is_burst: bool) -> Recording:
    from flightsrv.tracing import span

    def record(spans: int) -> None:
        for number in range(spans // 2):
            with span("outer", user="ann", number=number), span("inner", user="ann", number=number):
                pass

    return _started(record, is_burst)


def _flightsrv_async(is_burst: bool) -> Recording:
    from flightsrv.tracing import async_span

    async def tasks(spans: int) -> None:
        for _ in range(spans // 2):
            async with async_span("outer"), async_span("inner"):
                pass

    return _started(lambda spans: asyncio.run(tasks(spans)), is_burst)


def _inner() -> None:
    pass


def _outer() -> None:
    _inner()


def _call(spans: int) -> None:
    for _ in range(spans // 2):
        _outer()


def _flightsrv_calls(is_burst: bool) -> Recording:
    from flightsrv.tracing import trace_modules

    recording = _started(_call, is_burst)
    trace_modules(__name__)
    return recording


def _discarding_processor(is_burst: bool) -> tuple[Any, Any]:
    """A processor of OpenTelemetry that encodes spans, and counts."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Discarding(SpanExporter):
        nb_bytes = nb_spans = 0

        def export(self, spans: Any) -> SpanExportResult:
            self.nb_bytes += len(encode_spans(spans).SerializeToString())
            self.nb_spans += len(spans)
            return SpanExportResult.SUCCESS

    exporter = Discarding()
    processor = BatchSpanProcessor(exporter) if is_burst else BatchSpanProcessor(exporter, max_queue_size=2 * SPANS)
    return processor, exporter


def _opentelemetry(is_burst: bool, **attributes: Any) -> Recording:
    from opentelemetry.sdk.trace import TracerProvider

    processor, exporter = _discarding_processor(is_burst)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    start = provider.get_tracer("comparison").start_as_current_span

    def record(spans: int) -> None:
        for _ in range(spans // 2):
            with start("outer", attributes=attributes), start("inner", attributes=attributes):
                pass

    return Recording(
        record, lambda: processor.force_flush(60_000), lambda: exporter.nb_bytes, lambda: exporter.nb_spans
    )


def _opentelemetry_attributes(is_burst: bool) -> Recording:
    return _opentelemetry(is_burst, user="ann", number=7)


def _logfire(is_burst: bool) -> Recording:
    import logfire

    processor, exporter = _discarding_processor(is_burst)
    logfire.configure(send_to_logfire=False, console=False, metrics=False, additional_span_processors=[processor])

    def record(spans: int) -> None:
        for _ in range(spans // 2):
            with logfire.span("outer"), logfire.span("inner"):
                pass

    return Recording(
        record, lambda: processor.force_flush(60_000), lambda: exporter.nb_bytes, lambda: exporter.nb_spans
    )


def _viztracer(record: Callable[[Any, int], None], **options: Any) -> Recording:
    from viztracer import VizTracer

    tracer = VizTracer(verbose=0, **options)
    # Where its processes would write; in memory, if the system has that.
    file = tempfile.NamedTemporaryFile(suffix=".json", prefix="comparison-")  # noqa: SIM115
    nb_bytes = nb_spans = 0

    def save() -> None:
        nonlocal nb_bytes, nb_spans
        tracer.parse()
        tracer.save(file.name)
        with open(file.name, "rb") as written:
            data = written.read()
        nb_bytes += len(data)
        nb_spans += data.count(b'"ph":"X"') + data.count(b'"ph": "X"')

    return Recording(lambda spans: record(tracer, spans), save, lambda: nb_bytes, lambda: nb_spans)


def _viztracer_calls(is_burst: bool) -> Recording:
    def record(tracer: Any, spans: int) -> None:
        tracer.start()
        _call(spans)
        tracer.stop()

    return _viztracer(record)


def _viztracer_events(is_burst: bool) -> Recording:
    def record(tracer: Any, spans: int) -> None:
        tracer.start()
        for _ in range(spans // 2):
            with tracer.log_event("outer"), tracer.log_event("inner"):
                pass
        tracer.stop()

    return _viztracer(record, max_stack_depth=0)


SUBJECTS: dict[str, tuple[str, Callable[[bool], Recording]]] = {
    "flightsrv, `span`": ("flightsrv", _flightsrv),
    "flightsrv, `span` with two attributes": ("flightsrv", _flightsrv_attributes),
    "flightsrv, `async_span`": ("flightsrv", _flightsrv_async),
    "flightsrv, `trace_modules`": ("flightsrv", _flightsrv_calls),
    "viztracer, every call": ("viztracer", _viztracer_calls),
    "viztracer, `log_event`": ("viztracer", _viztracer_events),
    "OpenTelemetry, `start_as_current_span`": ("opentelemetry.sdk", _opentelemetry),
    "OpenTelemetry, with two attributes": ("opentelemetry.sdk", _opentelemetry_attributes),
    "logfire, `span`": ("logfire", _logfire),
}
"""By what is measured, the package that it needs, and how it is begun."""


def _memory_bytes(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field))


def _measure(name: str) -> dict[str, float]:
    """In the program of a subject."""
    before_bytes = _memory_bytes("VmRSS")
    recording = SUBJECTS[name][1](False)
    started_bytes = _memory_bytes("VmRSS")
    recording.record(SPANS)
    recording.flush()
    first_bytes = recording.nb_bytes()
    thread, whole = [], []
    for _ in range(RUNS):
        thread_ns, process_ns = time.thread_time_ns(), time.process_time_ns()
        recording.record(SPANS)
        thread.append((time.thread_time_ns() - thread_ns) / SPANS)
        recording.flush()
        whole.append((time.process_time_ns() - process_ns) / SPANS)
    if recording.nb_spans() < (RUNS + 1) * SPANS:
        raise RuntimeError(f"{name}: {recording.nb_spans()} of {(RUNS + 1) * SPANS} spans were kept")
    return {
        "us": statistics.median(thread) / 1e3,
        "us in all": statistics.median(whole) / 1e3,
        "bytes": (recording.nb_bytes() - first_bytes) / (RUNS * SPANS),
        "MB started": (started_bytes - before_bytes) / 1e6,
        "MB at most": (_memory_bytes("VmHWM") - before_bytes) / 1e6,
    }


def _burst(name: str) -> dict[str, float]:
    recording = SUBJECTS[name][1](True)
    recording.record(BURST)
    recording.flush()
    return {"kept": 100 * min(1.0, recording.nb_spans() / BURST)}


def _in_program(kind: str, name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.comparison", kind, name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(rounds: int) -> None:
    """Print a table: medians of the rounds, and the CPU of each as a multiple of the first."""
    names = [name for name, (package, _) in SUBJECTS.items() if importlib.util.find_spec(package.partition(".")[0])]
    of_rounds = [{name: _in_program("measure", name) for name in names} for _ in range(rounds)]
    print(
        f"| of one span, {SPANS:,} at a time | CPU of its thread | with encoding | times the first | bytes | "
        f"MB when started | MB at most | kept of {BURST:,} at once |\n" + "| --- " * 8 + "|"
    )
    for name in names:
        figures = {key: statistics.median(found[name][key] for found in of_rounds) for key in of_rounds[0][name]}
        times = statistics.median(found[name]["us in all"] / found[names[0]]["us in all"] for found in of_rounds)
        kept = _in_program("burst", name)["kept"]
        print(
            f"| {name} | {figures['us']:.2f} us | {figures['us in all']:.2f} us | {times:.1f} | "
            f"{figures['bytes']:.0f} | {figures['MB started']:.1f} | {figures['MB at most']:.1f} | {kept:.0f} % |"
        )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps({"measure": _measure, "burst": _burst}[sys.argv[1]](sys.argv[2])))
    else:
        compare(int(sys.argv[1]) if len(sys.argv) == 2 else 5)
