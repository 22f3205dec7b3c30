"""Metrics of several processes as those of one."""

from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import Metric

Families = Sequence[Metric]
"""What a registry collects."""

_GROWING = ("counter", "histogram")


def summed(processes: Iterable[Families]) -> list[Metric]:
    """The sum of each value over the processes; of times when something began, the earliest."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for of_process in processes for family in of_process):
        families.setdefault(family.name, Metric(family.name, family.documentation, family.type, family.unit))
        of_family = values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, tuple(sample.labels.items())
            if key not in of_family:
                of_family[key] = sample.value
            elif sample.name.endswith(("_created", "_start_time_seconds")):
                of_family[key] = min(of_family[key], sample.value)
            else:
                of_family[key] += sample.value
    for name, family in families.items():
        for (of_sample, labels), value in values[name].items():
            family.add_sample(of_sample, dict(labels), value)
    return list(families.values())


def counts(families: Families) -> Families:
    """Those that only grow, and so must outlast the process that counted them."""
    return [family for family in families if family.type in _GROWING]
