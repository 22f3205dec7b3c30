"""`GET /api/processes/{process_id}/spans` and `.../attributes`: what a thread was doing at a time, to be looked at."""

from datetime import UTC
from typing import Annotated, Literal

import pyarrow as pa
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from flightsrv.client import QueryClient
from flightsrv.client.times import rfc3339, time_ns
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.errors import problems
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.gateway.processes import ProcessId, check_known
from flightsrv.gateway.rows import TIMEOUT_SECONDS, query_rows
from flightsrv.gateway.times import AtQuery, TimeText, text_or_none

MAX_SPANS = 200
"""Most spans of one time, of which an event loop may have any number."""

_SPANS = f"""
    SELECT id, depth, name, target, filename, line,
        arrow_cast(begin, 'Int64') AS begin_ns, arrow_cast("end", 'Int64') AS end_ns
    FROM process_spans($1, 'both')
    WHERE stream_id = $2
    ORDER BY begin, depth
    LIMIT {MAX_SPANS}
"""

_ATTRIBUTES = "SELECT key, type, value FROM span_attributes($1, $2, $3, $4, $4)"

StreamId = Annotated[str, Query(max_length=1000, description="As the list of threads has it.")]


class Span(BaseModel):
    """A span that goes on at a time; `end` is null where it has not ended. The id is a number of 64 bits, as text."""

    id: str
    depth: int
    name: str
    target: str
    filename: str
    line: int
    begin: TimeText
    end: TimeText | None


class SpanList(BaseModel):
    """The spans of a thread at a time, the outermost first; of an event loop at most 200, the first to begin."""

    spans: list[Span]


class Attribute(BaseModel):
    """What was noted of a span. The value is text in any case: numbers of 64 bits would not fit into a JSON number."""

    key: str
    type: Literal["text", "integer", "float", "boolean", "json"]
    value: str


class AttributeList(BaseModel):
    """The attributes of a span, in the order in which they were noted."""

    attributes: list[Attribute]


def spans_router(callers: Callers) -> APIRouter:
    """The routes of this module."""
    Caller = Annotated[QueryClient, Depends(callers)]  # noqa: N806 (a type)
    router = APIRouter(prefix="/api/processes", tags=["processes"], dependencies=[Depends(known_parameters_only)])

    @router.get("/{process_id}/spans", responses=problems(400, 404, 422))
    def list_spans(client: Caller, process_id: ProcessId, stream_id: StreamId, at: AtQuery) -> SpanList:
        """The spans of a thread, or of an event loop, that go on at a time."""
        at_ns = time_ns(at, "at", zone=UTC)
        check_known(client, [process_id])
        found = client.query(_SPANS, [process_id, stream_id], begin=at_ns, end=at_ns, timeout_seconds=TIMEOUT_SECONDS)
        return SpanList(
            spans=[
                Span(
                    **{name: row[name] for name in ("depth", "name", "target", "filename", "line")},
                    id=str(row["id"]),
                    begin=rfc3339(row["begin_ns"]),
                    end=text_or_none(row["end_ns"]),
                )
                for row in found.to_pylist()
            ]
        )

    @router.get("/{process_id}/attributes", responses=problems(400, 404, 422))
    def list_attributes(
        client: Caller,
        process_id: ProcessId,
        stream_id: StreamId,
        span_id: Annotated[int, Query(ge=-(1 << 63), lt=1 << 63, description="Its id in the list of spans.")],
        at: AtQuery,
    ) -> AttributeList:
        """The attributes of a span that goes on at a time, with the types that they were noted with."""
        at_ns = time_ns(at, "at", zone=UTC)
        check_known(client, [process_id])
        parameters = [process_id, stream_id, span_id, pa.scalar(at_ns, pa.timestamp("ns", "UTC"))]
        return AttributeList(attributes=[Attribute(**row) for row in query_rows(client, _ATTRIBUTES, parameters)])

    return router
