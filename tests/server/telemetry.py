"""A small process to ingest: one thread that ran `outer` with `inner` in it."""

import uuid

import numpy as np
import pyarrow as pa

from flightsrv.telemetry import (
    Process,
    blocks_batch,
    cut_blocks,
    processes_batch,
    streams_batch,
    thread_stream,
)
from udtf.lake.block_format import BEGIN, END, Events, Scope, scope_array

START_NS = 1_767_261_600_000_000_000
"""2026-01-01T10:00:00Z"""


class Recording:
    """Record batches of a process with ids of its own; `outer` lasts 100 ns, `inner` 50 ns."""

    def __init__(self) -> None:
        self.process_id = str(uuid.uuid4())
        self.stream_id = str(uuid.uuid4())
        stream = thread_stream(self.stream_id, self.process_id, "main", 7)
        scopes = scope_array([Scope("outer", "app", "app.py", 1), Scope("inner", "app", "app.py", 2)])
        self.events = Events(
            np.array([0, 10, 60, 100], np.int64),
            np.array([BEGIN, BEGIN, END, END], np.uint8),
            np.array([0, 1, 1, 0], np.int32),
            scopes,
        )
        self.processes = processes_batch([Process(self.process_id, 10**9, START_NS, 0)])
        self.streams = streams_batch([stream])
        self.blocks = blocks_batch(list(cut_blocks(stream, self.events)))

    def tables(self) -> dict[str, pa.RecordBatch]:
        """In the order in which they are to be sent."""
        return {"processes": self.processes, "streams": self.streams, "blocks": self.blocks}
