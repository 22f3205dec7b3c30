"""`GET /api/processes/{process_id}/open_spans`: what threads were doing when the last telemetry came."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from flightsrv.client import QueryClient
from flightsrv.client.times import rfc3339
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.errors import problems
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.gateway.processes import ProcessId, check_known
from flightsrv.gateway.rows import TIMEOUT_SECONDS, query_rows
from flightsrv.gateway.times import TimeText

_END = "SELECT arrow_cast(max(end_time), 'Int64') AS end_ns FROM blocks WHERE process_id = $1"

_OPEN_SPANS = """
    SELECT stream_id, name, arrow_cast(begin, 'Int64') AS begin_ns
    FROM process_spans($1, 'both')
    WHERE "end" IS NULL
    ORDER BY stream_id, begin, depth
"""


class OpenSpans(BaseModel):
    """The spans of a thread, or of an event loop, that have begun and not ended: how many, since when there is one, and
    the name of the one that began last."""

    stream_id: str
    begin: TimeText
    nb_spans: int
    name: str


class OpenSpansList(BaseModel):
    """Those of all streams that have any."""

    open_spans: list[OpenSpans]


def open_spans_router(callers: Callers) -> APIRouter:
    """The route of this module."""
    router = APIRouter(prefix="/api/processes", tags=["processes"], dependencies=[Depends(known_parameters_only)])

    @router.get("/{process_id}/open_spans", responses=problems(404, 422))
    def list_open_spans(client: Annotated[QueryClient, Depends(callers)], process_id: ProcessId) -> OpenSpansList:
        """The spans that are open where the telemetry of a process ends."""
        check_known(client, [process_id])
        [last] = query_rows(client, _END, [process_id])
        end_ns = last["end_ns"]
        if end_ns is None:
            return OpenSpansList(open_spans=[])
        spans = client.query(_OPEN_SPANS, [process_id], begin=end_ns, end=end_ns, timeout_seconds=TIMEOUT_SECONDS)
        found: dict[str, OpenSpans] = {}
        for span in spans.to_pylist():
            stream_id, name = span["stream_id"], span["name"]
            of_stream = found.setdefault(
                stream_id, OpenSpans(stream_id=stream_id, begin=rfc3339(span["begin_ns"]), nb_spans=0, name=name)
            )
            of_stream.nb_spans += 1
            of_stream.name = name
        return OpenSpansList(open_spans=list(found.values()))

    return router
