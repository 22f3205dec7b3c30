"""Traces into a lake without a server, and without regard for what that brings into the traced program."""

from flightsrv.storing import Introductions, store_uploads
from flightsrv.tracing import RefusedError
from flightsrv.uploads import InvalidUpload, decode_uploads
from udtf.errors import InvalidTelemetry
from udtf.lake.lake import Lake


class LakeSink:
    """For `tracing.start(sink=lambda: LakeSink("./lake"))`; opens the lake when there is something to write."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lake: Lake | None = None
        self._introductions = Introductions()

    def send(self, uploads: bytes) -> None:
        """As `tracing.Sink` has it."""
        if self._lake is None:
            self._lake = Lake.open(self._uri)
        try:
            store_uploads(decode_uploads(uploads), self._lake.ingest, InvalidTelemetry, self._introductions)
        except (InvalidUpload, InvalidTelemetry) as error:
            raise RefusedError(str(error)) from error

    def close(self) -> None:
        """As `tracing.Sink` has it."""
        if self._lake is not None:
            self._lake.close()
