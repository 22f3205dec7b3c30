"""The caller: its own credentials go on to the server, which knows what they are good for."""

from typing import Annotated

from fastapi import Header

from flightsrv.client import QueryClient

PRINTABLE = r"^[\x20-\x7e]{1,8192}$"
"""What gRPC lets through in a header."""


class Callers:
    """Gives each request a client with the credentials of its header `Authorization`, a bearer token or a name and
    password.

    Without that header, they are the gateway's own, if it has any.
    """

    def __init__(self, client: QueryClient) -> None:
        self._client = client

    def __call__(
        self, authorization: Annotated[str | None, Header(pattern=PRINTABLE, include_in_schema=False)] = None
    ) -> QueryClient:
        """For FastAPI, which finds the header."""
        return self._client if authorization is None else self._client.for_caller(authorization)
