"""The gateway as an ASGI app."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from flightsrv import __version__
from flightsrv.client import QueryClient
from flightsrv.gateway.bodies import LimitBodies
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.compression import CompressTexts
from flightsrv.gateway.errors import install_error_handlers
from flightsrv.gateway.exports import PATHS as EXPORT_PATHS
from flightsrv.gateway.exports import ExportRoutes
from flightsrv.gateway.guards import RefuseOtherSites
from flightsrv.gateway.head import AnswerHead
from flightsrv.gateway.headers import AddHeaders
from flightsrv.gateway.health import health_router
from flightsrv.gateway.metrics import GatewayMetrics, MeasureRequests
from flightsrv.gateway.open_spans import open_spans_router
from flightsrv.gateway.perfetto_ui import BUNDLED, BUNDLED_PATH, BUNDLED_URL, BundledUi, has_bundled_ui
from flightsrv.gateway.processes import processes_router
from flightsrv.gateway.ranges import ranges_router
from flightsrv.gateway.reading import TraceReader
from flightsrv.gateway.spans import spans_router
from flightsrv.gateway.threads import threads_router
from flightsrv.gateway.traces import traces_router
from flightsrv.gateway.uploads import MAX_UPLOADS_BYTES, uploads_router
from flightsrv.gateway.uploads import PATH as UPLOADS_PATH
from flightsrv.importers.otlp import MAX_EXPORT_BYTES

PAGE = Path(__file__).with_name("page")
_PAGES = {"/": "index.html", "/docs": "docs.html"}
"""Paths of whole pages; what they are made of is below `/page`."""

_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"


_EXPORTS = dict.fromkeys(EXPORT_PATHS, MAX_EXPORT_BYTES)


class PageSettings(BaseModel):
    """What the page has to know."""

    perfetto_ui: Annotated[str, Field(description="Where the Perfetto UI is opened; relative to the page.")]
    bundled_ui: Annotated[str | None, Field(description="The copy that the gateway serves itself, if it has one.")]
    version: str


class Page(StaticFiles):
    """The page's files, which may talk to this gateway alone, and are asked for again after an update."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(
    client: QueryClient,
    perfetto_ui: str,
    max_traces: int,
    host_names: Collection[str] | None = None,
    metrics: GatewayMetrics | None = None,
) -> FastAPI:
    """The app over a connection, which stays the caller's.

    Args:
        perfetto_ui: the address of the Perfetto UI, or `bundled` for the copy of an installed package.
        max_traces: most traces that are made at once.
        host_names: as `RefuseOtherSites` takes them.
        metrics: where requests are counted.

    Raises:
        InvalidRequest: no copy of the Perfetto UI is installed.
    """
    metrics = metrics or GatewayMetrics()
    app = FastAPI(
        title="flightsrv gateway",
        summary="Perfetto traces of running programs, over HTTP",
        version=__version__,
        # The page of the API is ours: the framework's comes from the web.
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    # The first one is the innermost.
    app.add_middleware(CompressTexts)
    app.add_middleware(LimitBodies, larger={UPLOADS_PATH: MAX_UPLOADS_BYTES} | _EXPORTS)
    app.add_middleware(RefuseOtherSites, host_names=host_names)
    app.add_middleware(MeasureRequests, metrics=metrics)
    app.add_middleware(AnswerHead)
    app.add_middleware(AddHeaders)
    install_error_handlers(app)
    callers = Callers(client)
    app.include_router(processes_router(callers))
    app.include_router(threads_router(callers))
    app.include_router(open_spans_router(callers))
    app.include_router(spans_router(callers))
    app.include_router(ranges_router())
    app.include_router(traces_router(callers, TraceReader(max_traces), metrics))
    app.include_router(uploads_router(callers))
    app.router.routes.extend(ExportRoutes(callers).routes())
    app.include_router(health_router(client, metrics))
    settings = PageSettings(perfetto_ui=perfetto_ui, bundled_ui=None, version=__version__)
    if perfetto_ui == BUNDLED or has_bundled_ui():
        app.mount(BUNDLED_PATH, BundledUi())
        settings.bundled_ui = BUNDLED_URL
    if perfetto_ui == BUNDLED:
        settings.perfetto_ui = BUNDLED_URL

    @app.get("/api/settings", tags=["page"])
    async def page_settings() -> PageSettings:
        """What the page has to know."""
        return settings

    page = Page(directory=PAGE)
    app.mount("/page", page)
    for path, file in _PAGES.items():
        app.add_route(path, partial(_send_file, page, file), include_in_schema=False)
    return app


def create_export_app(client: QueryClient, host_names: Collection[str] | None = None) -> Starlette:
    """An app that takes OTLP and nothing else; see `create_app`."""
    middleware = [
        Middleware(AddHeaders),
        Middleware(RefuseOtherSites, host_names=host_names),
        Middleware(LimitBodies, larger=_EXPORTS),
    ]
    return Starlette(routes=ExportRoutes(Callers(client)).routes(), middleware=middleware)


async def _send_file(page: Page, file: str, request: Request) -> Response:
    return await page.get_response(file, request.scope)
