"""Parameters that a route does not know are refused: one that is misspelled would change what is asked for, unseen."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute


def known_parameters_only(request: Request) -> None:
    """For FastAPI, as a dependency of routes. Raises RequestValidationError."""
    route: APIRoute = request.scope["route"]
    known = [parameter.alias for parameter in route.dependant.query_params]
    expected = f"the parameters are {', '.join(known)}" if known else "there are no parameters"
    unknown = [
        {"loc": ("query", name), "msg": f"Unknown, {expected}"} for name in request.query_params if name not in known
    ]
    if unknown:
        raise RequestValidationError(unknown)
