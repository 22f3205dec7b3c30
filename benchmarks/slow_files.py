"""An object store that takes longer for each request: a folder of this machine, `slow:///FOLDER`.

For a server it is a remote store like any other. A Dask worker knows it that has this module as its `--preload`.
"""

import os
import time
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

LATENCY_VARIABLE = "FLIGHTSRV_BENCHMARK_LATENCY_MS"
"""By how many milliseconds."""


class SlowFiles(LocalFileSystem):
    """Files of this machine, each request for which takes longer."""

    protocol = "slow"

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)
        self._latency_s = float(os.environ[LATENCY_VARIABLE]) / 1e3

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
        time.sleep(self._latency_s)


def register() -> None:
    """Make fsspec know it."""
    fsspec.register_implementation("slow", SlowFiles, clobber=True)


def dask_setup(worker: Any) -> None:
    """What Dask calls of a module that a worker loads."""
    register()
