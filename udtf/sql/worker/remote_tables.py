"""The tables of the engine, asked for over the channel."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from threading import Lock

import pyarrow as pa

from udtf.sql.messages import ScanWanted, TableWanted
from udtf.sql.tables import PlannedTable, TableScan
from udtf.workers.channel import Channel, rows

AHEAD_BYTES = 4 << 20
"""Rows that may be on their way, as far as the system allows: with less, who sends waits for who reads, batch by batch,
and a million rows take twice as long."""


class TableRefused(Exception):
    """The engine has a reason against a table, and keeps it to itself."""


class RemoteTables:
    """`Tables` of a worker. Scans may begin on any thread."""

    def __init__(self, channel: Channel, sending: Lock) -> None:
        self._channel = channel
        self._sending = sending

    def plan(self, function: str, values: Mapping[str, str | int]) -> PlannedTable:
        """Raises TableRefused if it cannot be planned."""
        with self._sending:
            self._channel.send(TableWanted(function, values))
            planned: PlannedTable | None = self._channel.receive()
        if planned is None:
            raise TableRefused(function)
        return planned

    def scan(self, scan: TableScan) -> Iterator[pa.RecordBatch]:
        """The rows that are wanted, each batch as it comes."""
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD_BYTES)
        with theirs, self._sending:
            self._channel.send(ScanWanted(scan))
            self._channel.send_socket(theirs)
        with closing(Channel(ours)) as channel:
            yield from rows(channel)
