"""The tables of the engine, asked for over the channel."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from threading import Lock

import pyarrow as pa

from udtf.functions.parameter import Value
from udtf.sql.messages import ScanWanted, TableWanted, decode_request, encode
from udtf.sql.tables import PlannedTable, TableScan
from udtf.workers.channel import Channel

MAX_MESSAGE_BYTES = 1 << 40
"""The engine is trusted: the memory of this process is the limit."""


class TableRefused(Exception):
    """The engine has a reason against a table, and keeps it to itself."""


class RemoteTables:
    """`Tables` of a worker. Scans may begin on any thread."""

    def __init__(self, channel: Channel, sending: Lock) -> None:
        self._channel = channel
        self._sending = sending

    def plan(self, function: str, values: Mapping[str, Value]) -> PlannedTable:
        """Raises TableRefused if it cannot be planned."""
        with self._sending:
            self._channel.send(*encode(TableWanted(function, values)))
            answer = decode_request(self._channel.receive(MAX_MESSAGE_BYTES))
        if not isinstance(answer, PlannedTable):
            raise TableRefused(function)
        return answer

    def scan(self, scan: TableScan) -> Iterator[pa.RecordBatch]:
        """The rows that are wanted, each batch as it comes."""
        with self._sending:
            self._channel.send(*encode(ScanWanted(scan)))
            channel = Channel(self._channel.receive_socket())
        with closing(channel):
            while parts := channel.receive(MAX_MESSAGE_BYTES):
                yield pa.ipc.open_stream(parts[0]).read_next_batch()
