"""Log records are lines of a log; those without a severity are instants."""

import time
from collections.abc import Callable, Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs

from flightsrv.importers.otlp.columns import LogLists, Rejections, is_time
from flightsrv.importers.otlp.source import FUNCTION, PLACE, THREAD, source_of
from flightsrv.importers.otlp.values import attributes_of, event_text, to_text, values_of

SEVERITIES_OF_A_LEVEL = 4

_TOLD_OTHERWISE = {*THREAD, *PLACE, *FUNCTION}

_LEVELS = {"trace": 1, "debug": 2, "info": 3, "warn": 4, "warning": 4, "error": 5, "fatal": 6, "critical": 6}
"""By names that loggers use, where they give no number."""


def gather_logs(
    resource_logs: ResourceLogs, lists_of: Callable[[Mapping[str, AnyValue]], LogLists], rejected: Rejections
) -> None:
    """Add the records of a resource to lists.

    Args:
        lists_of: gives the lists for an event with these attributes.
    """
    for scope_logs in resource_logs.scope_logs:
        target = event_text(scope_logs.scope.name)
        for record in scope_logs.log_records:
            # What has neither time is of now.
            time_ns = record.time_unix_nano or record.observed_time_unix_nano or time.time_ns()
            if not is_time(time_ns):
                rejected.add(f"a log record has the time {time_ns} ns, which is after 2262")
                continue
            attributes = attributes_of(record.attributes)
            message = to_text(record.body) or record.event_name
            values = values_of(attributes, _TOLD_OTHERWISE)
            if record.trace_id:
                values["trace_id"] = record.trace_id.hex()
            if record.span_id:
                values["span_id"] = record.span_id.hex()
            lists_of(attributes).add(
                time_ns, _level(record), source_of(attributes, target), event_text(message), values
            )


def _level(record: LogRecord) -> int:
    if 1 <= record.severity_number <= 6 * SEVERITIES_OF_A_LEVEL:
        return (record.severity_number - 1) // SEVERITIES_OF_A_LEVEL + 1
    return _LEVELS.get(record.severity_text.lower(), 0)
