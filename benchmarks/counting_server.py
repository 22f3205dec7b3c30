"""`flightsrv` that counts its statements: `python -m benchmarks.counting_server FILE serve ...`

The file has how many statements were sent to the metadata database since the start, as a native 64-bit integer. They
are counted where SQLAlchemy executes them, so whatever the server asks its database for is in it.
"""

import mmap
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from flightsrv.cli import main

COUNT = struct.Struct("q")


def count_statements(path: Path) -> None:
    """From now on, of this process."""
    path.write_bytes(COUNT.pack(0))
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), COUNT.size)
    lock = threading.Lock()

    def count_one(*_: Any) -> None:
        with lock:
            COUNT.pack_into(shared, 0, COUNT.unpack_from(shared)[0] + 1)

    event.listen(Engine, "before_cursor_execute", count_one)


def statements(path: Path) -> int:
    """How many the file says."""
    (count,) = COUNT.unpack(path.read_bytes())
    return int(count)


if __name__ == "__main__":
    count_statements(Path(sys.argv[1]))
    main(sys.argv[2:])
