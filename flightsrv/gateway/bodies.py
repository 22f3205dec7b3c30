"""How large what is sent to the gateway may be."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
"""Unless said otherwise: many times what a request for a trace needs."""


class LimitBodies:
    """Middleware that fails the handler that reads more than that, or than `larger` has for the path."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int]) -> None:
        self._app = app
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        most_bytes = self._larger.get(scope.get("path", ""), MAX_BODY_BYTES)
        size_bytes = 0

        async def counted_receive() -> Message:
            nonlocal size_bytes
            message = await receive()
            size_bytes += len(message.get("body", b""))
            if size_bytes > most_bytes:
                raise HTTPException(413, f"a body has at most {most_bytes} bytes")
            return message

        await self._app(scope, counted_receive, send)
