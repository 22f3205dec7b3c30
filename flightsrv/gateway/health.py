"""`/health`, `/ready`, `/metrics`: for operators and their tools."""

from contextlib import suppress
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from flightsrv.client import QueryClient, Unauthenticated
from flightsrv.gateway.errors import problems
from flightsrv.gateway.metrics import METRICS_TYPE, GatewayMetrics

_READY_WITHIN_SECONDS = 2.0


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


def health_router(client: QueryClient, metrics: GatewayMetrics) -> APIRouter:
    """The routes of this module."""
    router = APIRouter(tags=["health"])

    @router.get("/health")
    async def health() -> Health:
        """The gateway runs, whatever the server does."""
        return Health()

    @router.get("/ready", responses=problems())
    def ready() -> Health:
        """The server answers, too, if only by asking for a token."""
        with suppress(Unauthenticated):
            client.check(_READY_WITHIN_SECONDS)
        return Health()

    @router.get("/metrics", response_class=Response, responses={200: {"content": {METRICS_TYPE: {}}}})
    def scrape() -> Response:
        """Metrics of the gateway for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": METRICS_TYPE})

    return router
