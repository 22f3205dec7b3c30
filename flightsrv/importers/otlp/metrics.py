"""Points of metrics are values of counters: one counter for each metric and each set of attributes.

A histogram is several: how many values it has counted, their sum, some quantiles, and the least and the greatest value
if it tells these. What it counts is what its points count: all since the start, or since the point before.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    SummaryDataPoint,
)

from flightsrv.importers.otlp.columns import Rejections, ValueLists, is_time
from flightsrv.importers.otlp.values import attributes_of, event_text, to_text
from udtf.lake.block_format import Scope

QUANTILES = (0.5, 0.9, 0.99)
"""Those that are estimated from the buckets of a histogram."""

Floats = npt.NDArray[np.float64]
Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint

Series = tuple[str, bool, float]
"""What the name of a counter ends with, whether it has the unit of the metric, and its value."""


def gather_metrics(resource_metrics: ResourceMetrics, lists_of: Callable[[], ValueLists], rejected: Rejections) -> None:
    """Add the points of a resource to lists, which `lists_of` gives."""
    for scope_metrics in resource_metrics.scope_metrics:
        target = event_text(scope_metrics.scope.name)
        for metric in scope_metrics.metrics:
            unit = event_text(metric.unit)
            for point in _points(metric):
                if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
                    continue  # It says that there is no value any more.
                if not is_time(point.time_unix_nano):
                    rejected.add(
                        f"a point of {metric.name!r} has the time {point.time_unix_nano} ns, expected 1 or more"
                    )
                    continue
                series = list(_series(point))
                if any(math.isnan(value) for _, _, value in series):
                    rejected.add(f"a point of {metric.name!r} is not a number")
                    continue
                label = _label(point.attributes)
                for suffix, has_unit, value in series:
                    scope = Scope(event_text(f"{metric.name}{suffix}{label}"), target, "", 0)
                    lists_of().add(point.time_unix_nano, scope, unit if has_unit else "", value)


def _points(metric: Metric) -> Iterable[Point]:
    name = metric.WhichOneof("data")
    if name is None:
        return ()
    points: Iterable[Point] = getattr(metric, name).data_points
    return points


def _label(attributes: Sequence[KeyValue]) -> str:
    if not attributes:
        return ""
    pairs = sorted((key, to_text(value)) for key, value in attributes_of(attributes).items())
    return "{" + ", ".join(f"{key}={text}" for key, text in pairs) + "}"


def _series(point: Point) -> Iterator[Series]:
    if isinstance(point, NumberDataPoint):
        yield "", True, float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)
        return
    yield ".count", False, float(point.count)
    if isinstance(point, SummaryDataPoint):
        yield ".sum", True, point.sum
        yield from ((_quantile_name(each.quantile), True, each.value) for each in point.quantile_values)
        return
    for name in ("sum", "min", "max"):
        if point.HasField(name):
            yield f".{name}", True, getattr(point, name)
    buckets = _explicit(point) if isinstance(point, HistogramDataPoint) else _exponential(point)
    buckets = buckets.within(
        point.min if point.HasField("min") else -math.inf, point.max if point.HasField("max") else math.inf
    )
    for quantile in QUANTILES:
        value = buckets.quantile(quantile)
        if math.isfinite(value):
            yield _quantile_name(quantile), True, value


def _quantile_name(quantile: float) -> str:
    return f".p{quantile * 100:g}"


@dataclass(frozen=True)
class Buckets:
    """Buckets in the order of their values, as columns: where each begins and ends, and how many values it has."""

    begins: Floats
    ends: Floats
    counts: Floats

    def within(self, least: float, greatest: float) -> "Buckets":
        """The same, known that no value is less or greater than these."""
        begins, ends = (np.minimum(np.maximum(bounds, least), greatest) for bounds in (self.begins, self.ends))
        return Buckets(begins, ends, self.counts)

    def quantile(self, part: float) -> float:
        """The value below which that part of all values is, if those of a bucket are spread evenly; NaN if there are
        none."""
        reached = np.cumsum(self.counts)
        if not len(reached) or not reached[-1] > 0:
            return math.nan
        wanted = part * reached[-1]
        bucket = int(np.searchsorted(reached, wanted))
        of_bucket = (wanted - (reached[bucket] - self.counts[bucket])) / self.counts[bucket]
        return float(self.begins[bucket] + of_bucket * (self.ends[bucket] - self.begins[bucket]))


def _explicit(point: HistogramDataPoint) -> Buckets:
    """The first and the last bucket have no end but the least and the greatest value; where these are not told, values
    are likely to end at zero and at the last bound."""
    bounds, counts = np.array(point.explicit_bounds, np.float64), np.array(point.bucket_counts, np.float64)
    if len(counts) != len(bounds) + 1:
        return Buckets(np.empty(0), np.empty(0), np.empty(0))
    least = point.min if point.HasField("min") else min(0.0, bounds[0]) if len(bounds) else math.nan
    greatest = point.max if point.HasField("max") else bounds[-1] if len(bounds) else math.nan
    return Buckets(np.concatenate(([least], bounds)), np.concatenate((bounds, [greatest])), counts)


def _exponential(point: ExponentialHistogramDataPoint) -> Buckets:
    """Their bounds are powers of a base, on either side of zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        exponent = np.ldexp(1.0, -point.scale)
        above, below = (
            np.exp2((side.offset + np.arange(len(side.bucket_counts) + 1)) * exponent)
            for side in (point.positive, point.negative)
        )
    zero = [0.0]
    return Buckets(
        np.concatenate((-below[:0:-1], zero, above[:-1])),
        np.concatenate((-below[-2::-1], zero, above[1:])),
        np.array(
            [*reversed(point.negative.bucket_counts), point.zero_count, *point.positive.bucket_counts], np.float64
        ),
    )
