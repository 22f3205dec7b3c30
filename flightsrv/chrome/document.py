"""A Chrome JSON trace file as a list of event objects, with every number exactly as written.

Source of the format: "Trace Event Format" by the Chromium project: an object with `traceEvents`, or the bare
array of events, whose closing bracket may be missing because a program that crashes cannot write it. Files
may be gzipped.
"""

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn


class ChromeTraceError(Exception):
    """The file is not a Chrome JSON trace that can be imported; the message says why."""


@dataclass(frozen=True)
class Document:
    """Events in the order of the file; `digest` identifies the content, whether it was compressed or not."""

    events: list[Any] = field(repr=False)
    digest: str


def read_document(path: Path) -> Document:
    """Read a trace file whole.

    Raises:
        ChromeTraceError: the content is not such a trace.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ChromeTraceError(f"the file is not whole gzip data: {error}") from error
    return Document(_events(_parse(content)), hashlib.sha256(content).hexdigest())


def _parse(content: bytes) -> Any:
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ChromeTraceError(f"the file is not UTF-8 text (byte {error.start})") from error
    if text.startswith("[") and not text.endswith("]"):
        text = text.rstrip(", \t\r\n") + "]"
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ChromeTraceError(f"the file is not JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _events(document: Any) -> list[Any]:
    events = document.get("traceEvents") if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise ChromeTraceError("the file holds no list of events, expected an array or an object with 'traceEvents'")
    return events
