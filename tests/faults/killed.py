"""A sender that works on a lake in a process of its own, and is killed at its n-th step.

Steps are what reaches a disk or a database: a file that is opened, renamed or synced, a statement, a commit.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, event

from tests.model.lake import Reader, ingest_blocks
from tests.model.strategies import ALL_TIME
from tests.model.telemetry import Block
from udtf.lake import packing
from udtf.lake.lake import Lake

PACKED_SEGMENTS = 8
"""As many make a pack here."""


class _Steps:
    """Counts, and kills."""

    def __init__(self, kill_at: int) -> None:
        self._lock = threading.Lock()
        self._left = kill_at

    def step(self, *_: object) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.step()
            return function(*arguments, **options)

        return counted


def _watch(steps: _Steps) -> None:
    os.fsync = steps.before(os.fsync)
    Path.open = steps.before(Path.open)  # type: ignore[method-assign]
    Path.replace = steps.before(Path.replace)  # type: ignore[method-assign]
    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, steps.step)


Tell = Callable[[int], None]


def _ingest(lake: Lake, uploads: Sequence[Sequence[Block]], tell: Tell) -> None:
    for number, upload in enumerate(uploads):
        ingest_blocks(lake, upload)
        tell(number)


def _ingest_together(lake: Lake, uploads: Sequence[Sequence[Block]], tell: Tell) -> None:
    """Two threads, whose uploads come in one transaction now and then. Each has the uploads of one process."""

    def send(number: int) -> None:
        for upload in range(number, len(uploads), 2):
            ingest_blocks(lake, uploads[upload])
            tell(upload)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _trace(lake: Lake, process_ids: Sequence[str], tell: Tell) -> None:
    for number, process_id in enumerate(process_ids):
        Reader.of(lake).trace_bytes(process_id, "both", ALL_TIME)
        tell(number)


def _remove(lake: Lake, time_ns: int, tell: Tell) -> None:
    lake.removal.older_than(time_ns)
    tell(0)


def _pack(lake: Lake, tell: Tell) -> None:
    list(lake.packing.pack_all())
    lake.removal.collect_garbage()
    tell(0)


def work(
    kill_at: int,
    folder: str,
    db_url: str | None,
    task: str,
    uploads: Sequence[Sequence[Block]],
    process_ids: Sequence[str],
    older_than_ns: int,
    acknowledged: Connection,
) -> None:
    """Do a task: send uploads, one after the other or by two threads ("ingest", "ingest together"), make traces of
    processes ("trace"), remove old telemetry ("remove"), or put small objects together and delete those that they come
    from ("pack"). The number of each item that is done goes into `acknowledged`; before the step `kill_at` this process
    ends by SIGKILL."""
    lake = Lake.open(folder, db_url)
    _watch(_Steps(kill_at))
    match task:
        case "ingest":
            _ingest(lake, uploads, acknowledged.send)
        case "ingest together":
            _ingest_together(lake, uploads, acknowledged.send)
        case "trace":
            _trace(lake, process_ids, acknowledged.send)
        case "remove":
            _remove(lake, older_than_ns, acknowledged.send)
        case "pack":
            lake.packing.kept_s = 0.0
            with patch.object(packing, "MAX_PARTITION_SEGMENTS", PACKED_SEGMENTS):
                _pack(lake, acknowledged.send)
    # Nothing else that runs has anything to do any more.
    os._exit(0)
