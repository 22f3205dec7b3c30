"""A file with all that a program recorded: every batch that was sent, in order, next to the table it was for.

It is an Arrow IPC stream of two columns, `table` and `rows`; `rows` is the batch, itself an IPC stream.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from flightsrv.telemetry import processes_batch, streams_batch
from flightsrv.tracing import Sink
from flightsrv.uploads import decode_uploads

_ENTRIES = pa.schema([pa.field("table", pa.utf8(), nullable=False), pa.field("rows", pa.binary(), nullable=False)])


class LedgerSink:
    """Sends to another sink, and notes in a file what that one has taken."""

    def __init__(self, sink: Sink, path: Path) -> None:
        """Raises OSError where the file cannot be written."""
        self._sink = sink
        self._entries = pa.ipc.new_stream(str(path), _ENTRIES)

    def send(self, uploads: bytes) -> None:
        """As `tracing.Sink` has it."""
        self._sink.send(uploads)
        decoded = decode_uploads(uploads)
        for table, batch in (
            ("processes", processes_batch(decoded.processes)),
            ("streams", streams_batch(decoded.streams)),
            ("blocks", decoded.blocks),
        ):
            if batch.num_rows:
                self._add(table, batch)

    def _add(self, table: str, batch: pa.RecordBatch) -> None:
        rows = pa.BufferOutputStream()
        with pa.ipc.new_stream(rows, batch.schema) as writer:
            writer.write_batch(batch)
        self._entries.write_batch(pa.record_batch([[table], [rows.getvalue().to_pybytes()]], schema=_ENTRIES))

    def close(self) -> None:
        self._entries.close()
        self._sink.close()


def read_ledger(path: Path) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The tables and batches of a ledger, in the order in which they were sent."""
    with pa.ipc.open_stream(str(path)) as entries:
        for entry in entries:
            for table, rows in zip(*entry.columns, strict=True):
                with pa.ipc.open_stream(rows.as_buffer()) as batches:
                    for batch in batches:
                        yield table.as_py(), batch
