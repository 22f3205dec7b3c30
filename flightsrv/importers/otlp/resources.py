"""Resources are processes: what OpenTelemetry says of a program that sends, as the lake describes it."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from flightsrv.importers.otlp.columns import MAX_TIME_NS
from flightsrv.importers.otlp.values import attributes_of, property_text, to_text
from flightsrv.telemetry import Process

TICKS_PER_SECOND = 1_000_000_000
"""Ticks are nanoseconds since 1970."""

NAMESPACE = uuid.UUID("5a3fbb5e-6d0c-4c7b-9b44-1d4d0ba3a7f1")
"""Of ids that are made from what OpenTelemetry says."""

IDENTITY = (
    "service.namespace",
    "service.name",
    "service.instance.id",
    "host.id",
    "host.name",
    "container.id",
    "process.pid",
    "process.creation.time",
)
"""The attributes that tell one run of a program from another."""

UNKNOWN = "unknown_service"
"""What the name of a service begins with that has not been given one."""


def process_of(resource: Resource) -> Process:
    """The process that a resource is. Its id follows from the attributes of `IDENTITY`; without any of these, from all
    that there are. Where it does not tell when it started, that is `MAX_TIME_NS`.
    """
    values = attributes_of(resource.attributes)
    texts = {property_text(key): property_text(to_text(value)) for key, value in values.items()}
    known = {key: texts[key] for key in IDENTITY if texts.get(key)} or texts
    start_ns = _creation_ns(texts)
    properties = {**texts}
    if pid := texts.get("process.pid"):
        properties["pid"] = pid
    if command_line := _command_line(values, texts):
        properties["command-line"] = command_line
    return Process(
        process_id=derived_id("process", *(f"{key}={value}" for key, value in sorted(known.items()))),
        tsc_frequency=TICKS_PER_SECOND,
        start_time_ns=start_ns,
        start_ticks=start_ns,
        exe=_name(texts),
        username=texts.get("process.owner"),
        computer=texts.get("host.name"),
        distro=texts.get("os.description") or texts.get("os.type"),
        cpu_brand=texts.get("host.cpu.model.name"),
        properties=properties,
    )


def derived_id(*parts: str) -> str:
    """The id that is made from these texts."""
    return str(uuid.uuid5(NAMESPACE, "\0".join(parts)))


def _name(texts: Mapping[str, str]) -> str | None:
    service = texts.get("service.name", "")
    if service and not service.startswith(UNKNOWN):
        return service
    return texts.get("process.executable.path") or texts.get("process.executable.name") or service or None


def _command_line(values: Mapping[str, AnyValue], texts: Mapping[str, str]) -> str:
    if line := texts.get("process.command_line"):
        return line
    arguments = values.get("process.command_args")
    if arguments is None:
        return texts.get("process.command", "")
    return property_text(" ".join(to_text(argument) for argument in arguments.array_value.values))


def _creation_ns(texts: Mapping[str, str]) -> int:
    try:
        created = datetime.fromisoformat(texts.get("process.creation.time", ""))
        seconds = created.replace(tzinfo=created.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        return MAX_TIME_NS
    return min(int(seconds * 1e9), MAX_TIME_NS) if seconds >= 0 else MAX_TIME_NS
