"""What goes wrong, as HTTP answers: a status, and one JSON object that says it in words."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from flightsrv.client import (
    Cancelled,
    FlightsrvError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ServerFailed,
    Unauthenticated,
    Unavailable,
)

log = logging.getLogger(__name__)


class Busy(FlightsrvError):
    """As many traces are under way as the gateway makes at once; the same may succeed later."""


class Problem(BaseModel):
    """What every answer holds that is not a success."""

    type: Literal["error"] = "error"
    message: str


_STATUS: dict[type[FlightsrvError], int] = {
    InvalidRequest: 400,
    NotFound: 404,
    PermissionDenied: 403,
    Unauthenticated: 401,
    ServerFailed: 502,
    Busy: 503,
    Cancelled: 503,
    Unavailable: 503,
}

_PHRASES = {
    400: "An argument is wrong",
    404: "There is no such process",
    411: "The length of the body is missing",
    413: "The body is too large",
    422: "The request is malformed",
}
_SERVER_PHRASES = {
    401: "The Flight SQL server requires a token",
    403: "The token does not allow this, or the request comes from a page of another site",
    502: "The Flight SQL server failed",
    503: "The Flight SQL server is unreachable or busy",
}
_HEADERS = {
    # A browser asks for the name of a token, and for the token as password.
    401: {"WWW-Authenticate": 'Basic realm="flightsrv", charset="UTF-8"'},
    503: {"Retry-After": "1"},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: these errors, and those of whatever asks the server."""
    phrases = {status: _PHRASES[status] for status in statuses} | _SERVER_PHRASES
    return {status: {"description": phrase, "model": Problem} for status, phrase in phrases.items()}


def status_of(error: FlightsrvError) -> int:
    """The HTTP status that tells of an error."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 502)


def words_of(error: FlightsrvError) -> str:
    """Its message, for a caller of the gateway, whose own connection is fine."""
    return f"the Flight SQL server is unreachable or busy: {error}" if isinstance(error, Unavailable) else str(error)


def problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that is an error."""
    return JSONResponse(Problem(message=message).model_dump(), status, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Every error of the app is answered as a `Problem`; none with a traceback."""

    @app.exception_handler(FlightsrvError)
    async def of_server(_: Request, error: FlightsrvError) -> Response:
        status = status_of(error)
        return problem(status, words_of(error), _HEADERS.get(status))

    @app.exception_handler(RequestValidationError)
    async def of_request(_: Request, error: RequestValidationError) -> Response:
        return problem(422, "; ".join(_what_is_wrong(detail) for detail in error.errors()))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, f"{error.detail}: {request.method} {request.url.path}", error.headers)

    @app.exception_handler(Exception)
    async def of_ours(request: Request, _: Exception) -> Response:
        # The framework logs it with its traceback after this.
        log.error("%s %s failed", request.method, request.url.path)
        return problem(500, "internal error in the gateway; see its log")


def _what_is_wrong(detail: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    given = detail.get("input")
    shown = f", given: {given!r:.100}" if isinstance(given, str | int | float | bool) else ""
    return f"{place}: {detail['msg']}{shown}"
