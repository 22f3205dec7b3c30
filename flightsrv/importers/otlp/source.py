"""Where in the source something comes from, by the attributes that semantic conventions have for it, now and before."""

from collections.abc import Mapping, Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from flightsrv.importers.otlp.values import event_text, to_text
from udtf.lake.block_format import Scope

MAX_LINE = (1 << 32) - 1

THREAD = ("thread.id", "thread.name")
PLACE = ("code.file.path", "code.filepath", "code.line.number", "code.lineno")
FUNCTION = ("code.function.name", "code.function")


def source_of(attributes: Mapping[str, AnyValue], target: str) -> Scope:
    """The scope of an event with these attributes, of what has the name `target`; its name is that of the function."""
    if not attributes:
        return Scope("", target, "", 0)
    return Scope(
        _first(attributes, FUNCTION),
        target,
        _first(attributes, ("code.file.path", "code.filepath")),
        _line(attributes),
    )


def _line(attributes: Mapping[str, AnyValue]) -> int:
    for name in ("code.line.number", "code.lineno"):
        if name in attributes:
            return min(max(attributes[name].int_value, 0), MAX_LINE)
    return 0


def _first(attributes: Mapping[str, AnyValue], names: Sequence[str]) -> str:
    return next((event_text(to_text(attributes[name])) for name in names if name in attributes), "")
