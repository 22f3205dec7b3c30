"""Plain HTTP requests, which see every byte and every broken connection."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def asked(
    url: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """An answer whose body is still to be read; leaving the block closes the connection. `body` is sent as JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    sent = None if body is None else json.dumps(body)
    kind = {} if body is None else {"Content-Type": "application/json"}
    try:
        connection.request(method, parts._replace(scheme="", netloc="").geturl(), sent, {**kind, **(headers or {})})
        response = connection.getresponse()
        with response:
            yield response
    finally:
        connection.close()


def ask(url: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """A whole answer.

    Raises:
        http.client.IncompleteRead: the connection was closed before the answer was complete.
    """
    with asked(url, method, body, headers) as response:
        return Answer(response.status, dict(response.headers), response.read())
