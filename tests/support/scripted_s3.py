"""An S3 endpoint that answers as it is told, for failures that moto does not have."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

ANSWERS = {
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "InternalError": 500,
    "TooManyRequests": 429,
    "RequestTimeout": 400,
    "AccessDenied": 403,
    "NoSuchKey": 404,
    "InvalidRange": 416,
}
"""HTTP status of an error code."""

STALL_S = 1.0
"""How long a request stays without an answer that stalls."""


class ScriptedS3:
    """Answers each request with the next word of `script`, and when there is none left, with success.

    Words are the error codes of `ANSWERS`, "reset" (the connection breaks), "half" (it breaks within the body) and
    "stall" (nothing comes). `requests` is what was asked: a method and a path each.
    """

    content = b"content"

    def __init__(self) -> None:
        self.script: list[str] = []
        self.requests: list[tuple[str, str]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                scripted.requests.append((self.command, self.path))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                word = scripted.script.pop(0) if scripted.script else "ok"
                if word == "reset":
                    # With this option, closing sends a reset.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                elif word == "stall":
                    time.sleep(STALL_S)
                    self.close_connection = True
                elif word == "half":
                    self.send(200, scripted.content[:3], len(scripted.content))
                    self.close_connection = True
                elif word == "ok":
                    body = scripted.content if self.command == "GET" else b""
                    self.send(200, body, len(body))
                else:
                    body = f"<Error><Code>{word}</Code><Message>as told</Message></Error>".encode()
                    self.send(ANSWERS[word], body, len(body))

            do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = answer  # noqa: N815

            def send(self, status: int, body: bytes, length: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.send_header("Content-Type", "application/xml")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Listen no more. Harmless when done already."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def scripted_s3() -> Iterator[ScriptedS3]:
    """An endpoint that does well until told otherwise."""
    scripted = ScriptedS3()
    yield scripted
    scripted.stop()
