"""`GET /api/range`: what a person writes as a range of time, in the gateway's own form."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from flightsrv.gateway.errors import problems
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.gateway.times import BeginQuery, EndQuery, TimeText, text_or_none, utc_range


class Range(BaseModel):
    """From `begin` to `end`, both included; null is no limit."""

    begin: TimeText | None
    end: TimeText | None


def ranges_router() -> APIRouter:
    """The route of this module."""
    router = APIRouter(prefix="/api", tags=["page"], dependencies=[Depends(known_parameters_only)])

    @router.get("/range", responses=problems(400, 422))
    def read_range(begin: BeginQuery = None, end: EndQuery = None) -> Range:
        """Read a time range: `-90s` or `now-5m` become times."""
        begin_ns, end_ns = utc_range(begin, end)
        return Range(begin=text_or_none(begin_ns), end=text_or_none(end_ns))

    return router
