"""Call headers (gRPC metadata) that change how a statement runs.

| header | value | meaning |
| --- | --- | --- |
| `query_range_begin` | RFC 3339 | where the time range of views begins; without it, at the beginning |
| `query_range_end` | RFC 3339 | where it ends, included |
| `trace_strict` | `true`, `false` | a thread that cannot be shown fails the query |
| `trace_progress` | `true`, `false` | the stream carries progress: zero-row batches with JSON as app_metadata |
| `preserve_dictionary` | `true`, `false` | dictionary columns are sent as such, not as plain text |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange

RANGE_BEGIN = "query_range_begin"
RANGE_END = "query_range_end"
STRICT = "trace_strict"
PROGRESS = "trace_progress"
PRESERVE_DICTIONARY = "preserve_dictionary"
NAMES = (RANGE_BEGIN, RANGE_END, STRICT, PROGRESS, PRESERVE_DICTIONARY)

Headers = Mapping[str, Sequence[str | bytes]]
"""Values by lower-case name; those of names that end in `-bin` are bytes."""


@dataclass(frozen=True)
class CallOptions:
    """What a caller asked for beside the statement, by headers or in a session.

    Attributes:
        time_range: None is the whole life of the process.
        db_schema: where names without a schema are looked for; None is where tables are.
    """

    time_range: TimeRange | None = None
    strict: bool = False
    progress: bool = False
    preserve_dictionary: bool = False
    db_schema: str | None = None


def read_options(headers: Headers) -> CallOptions:
    """Options of a call.

    Raises:
        InvalidArgument: a value cannot be read; the message names the header.
    """
    begin_ns, end_ns = _time_ns(headers, RANGE_BEGIN), _time_ns(headers, RANGE_END)
    time_range = None
    if begin_ns is not None or end_ns is not None:
        try:
            time_range = TimeRange(
                MIN_TIME_NS if begin_ns is None else begin_ns, MAX_TIME_NS if end_ns is None else end_ns
            )
        except InvalidArgument as e:
            raise InvalidArgument(f"call headers {RANGE_BEGIN} and {RANGE_END}: {e}") from e
    return CallOptions(
        time_range=time_range,
        strict=_flag(headers, STRICT),
        progress=_flag(headers, PROGRESS),
        preserve_dictionary=_flag(headers, PRESERVE_DICTIONARY),
    )


def _text(headers: Headers, name: str) -> str | None:
    values = headers.get(name)
    return str(values[-1]).strip() if values else None


def _time_ns(headers: Headers, name: str) -> int | None:
    text = _text(headers, name)
    if text is None:
        return None
    try:
        time_ns: int = pa.scalar(text).cast(pa.timestamp("ns", "UTC")).value
    except pa.ArrowInvalid as e:
        raise InvalidArgument(
            f"call header {name} must be a time in RFC 3339, such as 2026-01-01T10:00:00.5Z, given: {text[:100]!r}"
        ) from e
    return time_ns


def _flag(headers: Headers, name: str) -> bool:
    text = _text(headers, name)
    if text is None:
        return False
    if text.lower() not in ("true", "false"):
        raise InvalidArgument(f"call header {name} must be 'true' or 'false', given: {text[:100]!r}")
    return text.lower() == "true"
