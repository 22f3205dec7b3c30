"""Rows that a client sends with DoPut."""

from collections.abc import Iterator
from itertools import chain
from typing import Protocol

import pyarrow as pa

from flightsrv.policy.limits import MAX_MESSAGE_BYTES
from flightsrv.wire.codec import decode
from flightsrv.wire.flight_data import decode_rows
from flightsrv.wire.flight_pb2 import FlightData, FlightDescriptor
from udtf.arrow.messages import MessageGuard
from udtf.errors import InvalidArgument

MAX_ROWS = 1 << 20
"""Most rows of a record batch. Ingestion takes far fewer, and says so."""


class Upload(Protocol):
    """A stream of rows, and what they are for."""

    @property
    def descriptor(self) -> FlightDescriptor | None:
        """None if there is none."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The record batches as they arrive, valid in themselves, once; none where the client sends not even a schema.

        Raises:
            InvalidArgument: the bytes are no Arrow stream, or one that takes more memory than it may.
        """


class MessageUpload:
    """An upload as messages of the protocol; none is decompressed before it was looked at."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        """Raises InvalidArgument if nothing is sent."""
        messages = (decode(FlightData, request) for request in requests)
        first = next(messages, None)
        if first is None:
            raise InvalidArgument("expected a descriptor and rows, nothing was sent")
        self.descriptor = first.flight_descriptor if first.HasField("flight_descriptor") else None
        self._messages = chain([first], messages)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `Upload`."""
        # What a client may send compressed is no more than what it may send without.
        return decode_rows(self._messages, MessageGuard(MAX_MESSAGE_BYTES, MAX_ROWS))
