"""`GET /api/perfetto/{process_ids}/info`: what to expect of a trace before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from flightsrv.client import QueryClient
from flightsrv.gateway.rows import placeholders, query_rows
from flightsrv.gateway.times import TimeText, range_parameters, text_or_none

SpanTypes = Literal["thread", "async", "both", "all"]

_BYTES_PER_EVENT = {"thread": 15.5, "async": 25.0, "log": 100.0, "measure": 14.0, "link": 80.0}
"""Measured with the traces of `flightsrv demo`; a span is two events. Lines of logs are of any length."""

_SPANS = ("thread", "async")

_COLD_EVENTS_PER_SECOND = 3e6
_WARM_EVENTS_PER_SECOND = 13e6
"""Of events that are materialized first, and of those that are already: what two cores do with a local lake."""

_OVERHEAD_SECONDS = 0.03

# A block that lies in the range in part counts in part.
_EVENTS = """
    WITH overlapping AS (
        SELECT
            stream_id, nb_objects,
            arrow_cast(begin_time, 'Int64') AS begin_ns,
            arrow_cast(end_time, 'Int64') AS end_ns,
            arrow_cast(greatest(begin_time, $1), 'Int64') AS from_ns,
            arrow_cast(least(end_time, $2), 'Int64') AS to_ns
        FROM blocks
        WHERE process_id IN ({ids}) AND begin_time <= $2 AND end_time >= $1
    )
    SELECT
        CASE
            WHEN array_has(tags, 'thread') THEN 'thread'
            WHEN array_has(tags, 'async') OR array_has(tags, 'span') THEN 'async'
            WHEN array_has(tags, 'log') THEN 'log'
            WHEN array_has(tags, 'link') THEN 'link' ELSE 'measure'
        END AS kind,
        count(DISTINCT stream_id) AS streams,
        sum(nb_objects) AS events_of_blocks,
        sum(nb_objects * (to_ns - from_ns + 1.0) / (end_ns - begin_ns + 1.0)) AS events,
        min(from_ns) AS begin_ns,
        max(to_ns) AS end_ns
    FROM streams JOIN overlapping USING (stream_id)
    WHERE streams.process_id IN ({ids})
    GROUP BY kind
"""

_MATERIALIZED = """
    SELECT
        CASE view_set
            WHEN 'thread_spans' THEN 'thread' WHEN 'async_events' THEN 'async'
            WHEN 'whole_spans' THEN 'async' WHEN 'log_entries' THEN 'log' WHEN 'links' THEN 'link'
            ELSE 'measure'
        END AS kind,
        sum(CASE WHEN view_set = 'thread_spans' THEN 2 * nb_rows ELSE nb_rows END) AS events
    FROM list_partitions()
    WHERE process_id IN ({ids}) AND begin_time <= $2 AND end_time >= $1
    GROUP BY kind
"""


class Estimate(BaseModel):
    """What a trace will be like, more or less; a server on another machine may take another time."""

    size_bytes: int
    seconds: float


class TraceInfo(BaseModel):
    """What there is in a time range: threads and async streams that have events, how many about, and from when to when;
    lines of logs, values of counters and links, which 'all' has besides.

    The estimate is of a trace of these times and of the span types that were asked for; `materialized` is the share of
    its events that need not be made ready first.
    """

    process_ids: list[str]
    begin: TimeText | None
    end: TimeText | None
    threads: int
    thread_events: int
    async_streams: int
    async_events: int
    log_entries: int
    measures: int
    links: int
    materialized: float
    estimate: Estimate


@dataclass(frozen=True)
class _Kind:
    """Events of threads, or async ones: `events` of them in the range, in blocks that have `events_of_blocks`."""

    streams: int = 0
    events: float = 0.0
    events_of_blocks: int = 0
    begin_ns: int | None = None
    end_ns: int | None = None

    def cold_share(self, made_events: int) -> float:
        """Of its events, those that `made_events` leaves to be materialized."""
        return max(0.0, 1 - made_events / self.events_of_blocks)


def trace_info(
    client: QueryClient, process_ids: Sequence[str], begin_ns: int | None, end_ns: int | None, span_types: SpanTypes
) -> TraceInfo:
    """What there is, by metadata alone: no span is read. A process that is unknown has nothing."""
    parameters = [*range_parameters(begin_ns, end_ns), *process_ids]
    ids = placeholders(len(process_ids), first=3)
    kinds = {row.pop("kind"): _Kind(**row) for row in query_rows(client, _EVENTS.format(ids=ids), parameters)}
    made = {row["kind"]: row["events"] for row in query_rows(client, _MATERIALIZED.format(ids=ids), parameters)}
    threads, async_streams, logs, measures, links = (kinds.get(name, _Kind()) for name in _BYTES_PER_EVENT)
    chosen = {
        name: kind
        for name, kind in kinds.items()
        if span_types in (name, "all") or (span_types == "both" and name in _SPANS)
    }
    events = sum(kind.events for kind in chosen.values())
    cold_shares = {name: kind.cold_share(made.get(name, 0)) for name, kind in chosen.items()}
    cold = sum(kind.events * cold_shares[name] for name, kind in chosen.items())
    return TraceInfo(
        process_ids=list(process_ids),
        begin=text_or_none(min((kind.begin_ns for kind in chosen.values() if kind.begin_ns is not None), default=None)),
        end=text_or_none(max((kind.end_ns for kind in chosen.values() if kind.end_ns is not None), default=None)),
        threads=threads.streams,
        thread_events=round(threads.events),
        async_streams=async_streams.streams,
        async_events=round(async_streams.events),
        log_entries=round(logs.events),
        measures=round(measures.events),
        links=round(links.events),
        materialized=1 - cold / events if events else 1.0,
        estimate=Estimate(
            size_bytes=round(sum(kind.events * _BYTES_PER_EVENT[name] for name, kind in chosen.items())),
            seconds=_OVERHEAD_SECONDS + cold / _COLD_EVENTS_PER_SECOND + (events - cold) / _WARM_EVENTS_PER_SECOND,
        ),
    )
