"""Requests that a browser makes for a page of another site are refused.

Browsers reach what their owner reaches, and any page may make them ask. Two things tell such requests from those of
our page and of programs:

- the header `Host` has the name that the page was loaded from, also where its owner has pointed that name at this
  machine meanwhile (DNS rebinding). An address, or `localhost`, cannot be pointed elsewhere.
- the headers `Sec-Fetch-...` say that another site's page asks (https://www.w3.org/TR/fetch-metadata/). Its links may
  lead here; its scripts, forms, pictures and frames may not.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from flightsrv.gateway.errors import problem

_OF_OTHERS = {"cross-site", "same-site"}
"""Another port of the same host is `same-site`."""


class RefuseOtherSites:
    """Middleware that answers in place of the app."""

    def __init__(self, app: ASGIApp, host_names: Collection[str] | None) -> None:
        """`host_names` are allowed beside addresses and `localhost`; None allows any."""
        self._app = app
        self._host_names = None if host_names is None else {name.lower() for name in host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host")
            if host is not None and not self._is_ours(host):
                answer = problem(421, f"the host name {host!r} is not allowed; --host-name of the gateway allows it")
            elif _is_of_another_site(scope["method"], headers):
                answer = problem(403, "requests from pages of other sites are refused; they may only link here")
        await answer(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        if self._host_names is None:
            return True
        try:
            name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        except ValueError:
            return False
        return _is_address(name) or name.split(".")[-1] == "localhost" or name in self._host_names


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of_another_site(method: str, headers: Headers) -> bool:
    is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    is_page = headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site") in _OF_OTHERS and not (is_link and is_page)
