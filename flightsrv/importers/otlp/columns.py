"""Events as they are gathered, one after the other, and then as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from flightsrv.importers.otlp.values import Json
from flightsrv.telemetry import Links, LogLines, Values, WholeSpans
from flightsrv.tracing.attributes import encode
from udtf.lake.block_format import Scope, scope_array


class ScopeCodes:
    """Scopes, each with a code."""

    def __init__(self) -> None:
        self._codes: dict[Scope, int] = {}

    def __getitem__(self, scope: Scope) -> int:
        return self._codes.setdefault(scope, len(self._codes))

    def table(self) -> pa.StructArray:
        """Scopes by their codes."""
        return scope_array(list(self._codes))


@dataclass
class LogLists:
    """Lines of a log that are to be `LogLines`."""

    scope_codes: ScopeCodes = field(default_factory=ScopeCodes)
    times_ns: list[int] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    scopes: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    attributes: list[bytes] = field(default_factory=list)

    def add(self, time_ns: int, level: int, scope: Scope, message: str, attributes: Mapping[str, Json]) -> None:
        self.times_ns.append(time_ns)
        self.levels.append(level)
        self.scopes.append(self.scope_codes[scope])
        self.messages.append(message)
        self.attributes.append(encode(dict(attributes)))

    def columns(self) -> LogLines:
        return LogLines(
            np.array(self.times_ns, np.int64),
            np.array(self.levels, np.uint8),
            np.array(self.scopes, np.int32),
            self.scope_codes.table(),
            pa.array(self.messages, pa.utf8()),
            pa.array(self.attributes, pa.binary()),
        )


@dataclass
class ValueLists:
    """Values of counters that are to be `Values`."""

    scope_codes: ScopeCodes = field(default_factory=ScopeCodes)
    times_ns: list[int] = field(default_factory=list)
    scopes: list[int] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, time_ns: int, scope: Scope, unit: str, value: float) -> None:
        self.times_ns.append(time_ns)
        self.scopes.append(self.scope_codes[scope])
        self.units.append(unit)
        self.values.append(value)

    def columns(self) -> Values:
        return Values(
            np.array(self.times_ns, np.int64),
            np.array(self.scopes, np.int32),
            self.scope_codes.table(),
            pa.array(self.units, pa.utf8()),
            np.array(self.values, np.float64),
        )


@dataclass
class SpanLists:
    """Spans that are to be `WholeSpans`."""

    scope_codes: ScopeCodes = field(default_factory=ScopeCodes)
    times_ns: list[int] = field(default_factory=list)
    ends_ns: list[int] = field(default_factory=list)
    scopes: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    attributes: list[bytes] = field(default_factory=list)

    def add(
        self, begin_ns: int, end_ns: int, scope: Scope, span_id: int, parent: int, attributes: Mapping[str, Json]
    ) -> None:
        self.times_ns.append(begin_ns)
        self.ends_ns.append(end_ns)
        self.scopes.append(self.scope_codes[scope])
        self.ids.append(span_id)
        self.parents.append(parent)
        self.attributes.append(encode(dict(attributes)))

    def columns(self) -> WholeSpans:
        return WholeSpans(
            np.array(self.times_ns, np.int64),
            np.array(self.ends_ns, np.int64),
            np.array(self.scopes, np.int32),
            self.scope_codes.table(),
            np.array(self.ids, np.int64),
            np.array(self.parents, np.int64),
            pa.array(self.attributes, pa.binary()),
        )


@dataclass
class LinkLists:
    """Links between whole spans that are to be `Links`; of the causes nothing is known but their ids."""

    scope_codes: ScopeCodes = field(default_factory=ScopeCodes)
    times_ns: list[int] = field(default_factory=list)
    scopes: list[int] = field(default_factory=list)
    span_ids: list[int] = field(default_factory=list)
    from_span_ids: list[int] = field(default_factory=list)
    attributes: list[bytes] = field(default_factory=list)

    def add(self, time_ns: int, scope: Scope, span_id: int, from_span_id: int, attributes: Mapping[str, Json]) -> None:
        self.times_ns.append(time_ns)
        self.scopes.append(self.scope_codes[scope])
        self.span_ids.append(span_id)
        self.from_span_ids.append(from_span_id)
        self.attributes.append(encode(dict(attributes)))

    def columns(self) -> Links:
        times_ns = np.array(self.times_ns, np.int64)
        return Links(
            times_ns,
            np.array(self.scopes, np.int32),
            self.scope_codes.table(),
            times_ns,
            pa.array([""] * len(times_ns), pa.utf8()),
            np.array(self.span_ids, np.int64),
            np.array(self.from_span_ids, np.int64),
            pa.array(self.attributes, pa.binary()),
        )


Lists = LogLists | ValueLists | SpanLists | LinkLists


@dataclass
class Rejections:
    """How many events were left out, and why."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        self.count += 1
        if len(self.reasons) < 5 and reason not in self.reasons:
            self.reasons.append(reason)

    @property
    def message(self) -> str:
        return "; ".join(self.reasons)


MAX_TIME_NS = (1 << 63) - 2
"""What the lake takes: the last value of int64 means "never"."""


def is_time(time_ns: int) -> bool:
    """Whether it is one that the lake takes."""
    return 0 < time_ns <= MAX_TIME_NS
