"""Events as they are gathered, one after the other, and then as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
class _EventLists:
    """What all kinds of events have. Attributes are of each event, or of none."""

    scope_codes: ScopeCodes = field(default_factory=ScopeCodes)
    times_ns: list[int] = field(default_factory=list)
    scopes: list[int] = field(default_factory=list)
    attributes: list[bytes] = field(default_factory=list)

    def _add_event(self, time_ns: int, scope: Scope, attributes: Mapping[str, Json] | None = None) -> None:
        self.times_ns.append(time_ns)
        self.scopes.append(self.scope_codes[scope])
        if attributes is not None:
            self.attributes.append(encode(dict(attributes)))

    def _common(self) -> dict[str, Any]:
        """The columns that all kinds have, by their names there."""
        return {
            "ticks": np.array(self.times_ns, np.int64),
            "scopes": np.array(self.scopes, np.int32),
            "scope_table": self.scope_codes.table(),
            "attributes": pa.array(self.attributes, pa.binary()) if self.attributes else None,
        }


@dataclass
class LogLists(_EventLists):
    """Lines of a log that are to be `LogLines`."""

    levels: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def add(self, time_ns: int, level: int, scope: Scope, message: str, attributes: Mapping[str, Json]) -> None:
        self._add_event(time_ns, scope, attributes)
        self.levels.append(level)
        self.messages.append(message)

    def columns(self) -> LogLines:
        messages = pa.array(self.messages, pa.utf8())
        return LogLines(levels=np.array(self.levels, np.uint8), messages=messages, **self._common())


@dataclass
class ValueLists(_EventLists):
    """Values of counters that are to be `Values`."""

    units: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, time_ns: int, scope: Scope, unit: str, value: float) -> None:
        self._add_event(time_ns, scope)
        self.units.append(unit)
        self.values.append(value)

    def columns(self) -> Values:
        units = pa.array(self.units, pa.utf8())
        return Values(units=units, values=np.array(self.values, np.float64), **self._common())


@dataclass
class SpanLists(_EventLists):
    """Spans that are to be `WholeSpans`."""

    ends_ns: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def add(
        self, begin_ns: int, end_ns: int, scope: Scope, span_id: int, parent: int, attributes: Mapping[str, Json]
    ) -> None:
        self._add_event(begin_ns, scope, attributes)
        self.ends_ns.append(end_ns)
        self.ids.append(span_id)
        self.parents.append(parent)

    def columns(self) -> WholeSpans:
        return WholeSpans(
            end_ticks=np.array(self.ends_ns, np.int64),
            span_ids=np.array(self.ids, np.int64),
            parent_span_ids=np.array(self.parents, np.int64),
            **self._common(),
        )


@dataclass
class LinkLists(_EventLists):
    """Links between whole spans that are to be `Links`; of the causes nothing is known but their ids."""

    span_ids: list[int] = field(default_factory=list)
    from_span_ids: list[int] = field(default_factory=list)

    def add(self, time_ns: int, scope: Scope, span_id: int, from_span_id: int, attributes: Mapping[str, Json]) -> None:
        self._add_event(time_ns, scope, attributes)
        self.span_ids.append(span_id)
        self.from_span_ids.append(from_span_id)

    def columns(self) -> Links:
        common = self._common()
        return Links(
            from_ticks=common["ticks"],
            from_streams=pa.array([""] * len(self.times_ns), pa.utf8()),
            span_ids=np.array(self.span_ids, np.int64),
            from_span_ids=np.array(self.from_span_ids, np.int64),
            **common,
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
