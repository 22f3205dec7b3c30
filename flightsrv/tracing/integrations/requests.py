"""A span for each request that `requests` makes."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from flightsrv.tracing.integrations.names import Names
from flightsrv.tracing.recorder import span
from flightsrv.tracing.trace_context import sent_with

_names = Names()


class TracingAdapter(HTTPAdapter):
    """An adapter that makes spans, of whatever options `HTTPAdapter` takes.

    Such a span, `GET example.com`, with the attributes `path` and `status`, and those of its trace context, which goes
    out with it, is of the thread. It lasts until the headers of the answer have come, or with `stream=False` the
    answer.
    """

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        method, host = str(request.method), str(request.url).partition("://")[2].partition("/")[0].rpartition("@")[2]
        path = request.path_url.partition("?")[0]
        name = _names.bounded(f"{method} {host}", method)
        with sent_with(request.headers) as attributes, span(name, path=path, **attributes) as opened:
            response = super().send(request, *arguments, **options)
            opened.set(status=response.status_code)
            return response


def trace_session(session: requests.Session) -> None:
    """Have all requests of a session traced, by adapters in place of its own."""
    for prefix in ("https://", "http://"):
        session.mount(prefix, TracingAdapter())
