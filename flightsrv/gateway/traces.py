"""`/api/perfetto/{process_ids}/...`: traces, and what to expect of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import Response

from flightsrv.client import InvalidRequest, QueryClient
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.compression import accepted_coding
from flightsrv.gateway.errors import problems
from flightsrv.gateway.estimates import SpanTypes, TraceInfo, trace_info
from flightsrv.gateway.metrics import GatewayMetrics
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.gateway.processes import ProcessIds, check_known
from flightsrv.gateway.reading import TraceReader, TraceRequest
from flightsrv.gateway.responses import FramedResponse, GenerateResponse, PlainTraceResponse
from flightsrv.gateway.times import BeginQuery, EndQuery, TimeRange, utc_range

_STRICT = "Fail when a thread cannot be read, rather than go on without it."
_FRAMED = "Put a line before each piece of the trace, so that there can be more lines among and after them."


class GenerateRequest(BaseModel):
    """Which trace to make; without a time range, of all that there is of the processes."""

    model_config = ConfigDict(extra="forbid")

    time_range: TimeRange | None = None
    include_async_spans: StrictBool = True
    include_thread_spans: StrictBool = True
    strict: Annotated[StrictBool, Field(description=_STRICT)] = False
    framed: Annotated[StrictBool, Field(description=_FRAMED)] = False


_EVERYTHING = GenerateRequest()


def traces_router(callers: Callers, reader: TraceReader, metrics: GatewayMetrics) -> APIRouter:
    """The routes of this module."""
    Caller = Annotated[QueryClient, Depends(callers)]  # noqa: N806 (a type)
    router = APIRouter(prefix="/api/perfetto", tags=["traces"], dependencies=[Depends(known_parameters_only)])

    @router.post(
        "/{process_ids}/generate",
        response_class=Response,
        responses=problems(400, 404, 413, 422)
        | _binary('Lines of JSON that tell progress, the line `{"type":"binary_start"}`, and the trace\'s bytes'),
    )
    async def generate(client: Caller, process_ids: ProcessIds, wanted: GenerateRequest = _EVERYTHING) -> Response:
        """Make a trace of one process, or of several on one timeline, and tell how it goes.

        Each line is an object: `{"type": "progress", "message": ...}`, or `{"type": "error", "message": ...}` as the
        last one, or `{"type": "binary_start"}`, which the trace's bytes follow. A failure after that closes the
        connection before the answer is complete.

        A framed answer has `{"type": "piece", "size_bytes": ...}` instead, so many bytes, more lines and pieces. It
        ends with `{"type": "complete", "failed_threads": [...], "lost_events": ..., "dropped_spans": ...}`, or with an
        error.
        """
        begin, end = (None, None) if wanted.time_range is None else (wanted.time_range.begin, wanted.time_range.end)
        request = TraceRequest(client, process_ids, *utc_range(begin, end), _span_types(wanted), wanted.strict)
        return (FramedResponse if wanted.framed else GenerateResponse)(reader, request, metrics)

    @router.get(
        "/{process_ids}/trace",
        response_class=Response,
        responses=problems(400, 404, 422) | _binary("A file that the Perfetto UI opens"),
    )
    async def trace(
        client: Caller,
        process_ids: ProcessIds,
        begin: BeginQuery = None,
        end: EndQuery = None,
        span_types: SpanTypes = "all",
        strict: Annotated[bool, Query(description=_STRICT)] = False,
        accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Response:
        """A trace of one process, or of several on one timeline, as a file.

        A failure half way closes the connection before the answer is complete.
        """
        request = TraceRequest(client, process_ids, *utc_range(begin, end), span_types, strict)
        return PlainTraceResponse(reader, request, metrics, accepted_coding(accept_encoding))

    @router.get("/{process_ids}/info", responses=problems(400, 404, 422))
    def info(
        client: Caller,
        process_ids: ProcessIds,
        begin: BeginQuery = None,
        end: EndQuery = None,
        span_types: SpanTypes = "all",
    ) -> TraceInfo:
        """What is in a time range, and about how large its trace is and how long it takes to make."""
        begin_ns, end_ns = utc_range(begin, end)
        check_known(client, process_ids)
        return trace_info(client, process_ids, begin_ns, end_ns, span_types)

    return router


def _span_types(wanted: GenerateRequest) -> SpanTypes:
    match (wanted.include_thread_spans, wanted.include_async_spans):
        case (True, True):
            return "all"
        case (True, False):
            return "thread"
        case (False, True):
            return "async"
    raise InvalidRequest("include_thread_spans and include_async_spans are both false: nothing would be in the trace")


def _binary(description: str) -> dict[int | str, dict[str, Any]]:
    """A success for the OpenAPI document: bytes."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {"application/octet-stream": {"schema": schema}}}}
