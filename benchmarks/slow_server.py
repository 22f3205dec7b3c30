"""`flightsrv` with an object store that takes longer for each request: `python -m benchmarks.slow_server 50 serve ...`

The first argument is by how many milliseconds; those behind it are of `flightsrv`, where a lake at `slow:///FOLDER` is
a folder of this machine behind that latency. For the server it is a remote store like any other. The metadata database
is as fast as ever.
"""

import sys
import time
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from flightsrv.cli import main


class SlowFiles(LocalFileSystem):
    """Files of this machine, each request for which takes `latency_s` seconds longer."""

    protocol = "slow"
    latency_s = 0.0

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("slow://")))

    def _open(self, *arguments: Any, **options: Any) -> Any:
        self._wait()
        return super()._open(*arguments, **options)

    def rm_file(self, path: str) -> None:
        self._wait()
        super().rm_file(path)

    def find(self, *arguments: Any, **options: Any) -> Any:
        self._wait()
        return super().find(*arguments, **options)

    def info(self, path: str, **options: Any) -> Any:
        self._wait()
        return super().info(path, **options)

    def _wait(self) -> None:
        time.sleep(self.latency_s)


if __name__ == "__main__":
    SlowFiles.latency_s = float(sys.argv[1]) / 1e3
    fsspec.register_implementation("slow", SlowFiles)
    main(sys.argv[2:])
