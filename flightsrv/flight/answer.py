"""What a command is answered with, where that is rows."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import pyarrow as pa
from google.protobuf.message import Message

IsCancelled = Callable[[], bool]
Batches = Generator[pa.RecordBatch, None, None]
"""Closing it stops the work."""


@dataclass(frozen=True)
class Answer:
    """Rows to be: `batches` makes them, each with exactly `schema`, and `ticket` asks for them again."""

    schema: pa.Schema
    ticket: Message
    batches: Callable[[IsCancelled], Batches]
    preserve_dictionary: bool = False
