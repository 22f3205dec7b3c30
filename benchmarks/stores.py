"""The stores on which a server is measured: a folder, one with latency, and a simulator of S3.

Each is a context in which it exists, and gives a function that starts servers on it: a server has a new lake of a
recording, in which nothing is materialized, and a metadata database on this machine.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import boto3

from benchmarks.lakes import DATABASE, Workbench
from benchmarks.recordings import Recording
from benchmarks.servers import Server, flightsrv_server, listening, serving
from benchmarks.slow_files import LATENCY_VARIABLE

LATENCY_MS = 50.0


class FreshServer(Protocol):
    """Starts a server on a new lake of a recording, with options of `flightsrv serve`."""

    def __call__(self, recording: Recording, *options: str) -> AbstractContextManager[Server]: ...


@contextmanager
def local(bench: Workbench) -> Iterator[FreshServer]:
    """A folder of this machine."""

    @contextmanager
    def fresh_server(recording: Recording, *options: str) -> Iterator[Server]:
        with bench.fresh_copy(recording) as lake, flightsrv_server(lake, *options) as server:
            yield server

    yield fresh_server


@contextmanager
def slow(bench: Workbench, latency_ms: float = LATENCY_MS) -> Iterator[FreshServer]:
    """One that takes longer for each request."""

    @contextmanager
    def fresh_server(recording: Recording, *options: str) -> Iterator[Server]:
        with bench.fresh_copy(recording) as lake:
            arguments = ["--lake", f"slow://{lake}", "--db", f"sqlite:///{lake / DATABASE}", *options]
            latency = {LATENCY_VARIABLE: str(latency_ms)}
            log = lake.with_name("server.log")
            with serving(["benchmarks.slow_server"], arguments, log, environment=latency) as server:
                yield server

    yield fresh_server


@contextmanager
def s3(bench: Workbench) -> Iterator[FreshServer]:
    """A bucket of a simulator for each lake."""
    with (
        bench.folder("s3-") as scratch,
        listening(["benchmarks.s3_server"], scratch / "s3.log") as (endpoint, _),
    ):
        access, client = s3_access(endpoint)

        @contextmanager
        def fresh_server(recording: Recording, *options: str) -> Iterator[Server]:
            with bench.folder("s3-lake-") as folder:
                bucket = folder.name.replace("_", "-")
                client.create_bucket(Bucket=bucket)
                database = _put_all(bench.lake(recording), partial(client.put_object, Bucket=bucket), folder)
                arguments = ["--lake", f"s3://{bucket}", "--db", f"sqlite:///{database}", *options]
                with serving(["flightsrv"], arguments, folder / "server.log", environment=access) as server:
                    yield server

        yield fresh_server


def s3_access(endpoint: str) -> tuple[dict[str, str], Any]:
    """The variables by which a program finds a simulator of S3, and a client of it."""
    access = {
        "AWS_ACCESS_KEY_ID": "benchmarks",
        "AWS_SECRET_ACCESS_KEY": "benchmarks",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    client = boto3.client(
        "s3",
        access["AWS_DEFAULT_REGION"],
        endpoint_url=endpoint,
        aws_access_key_id=access["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=access["AWS_SECRET_ACCESS_KEY"],
    )
    return access, client


def _put_all(lake: Path, put: Callable[..., object], folder: Path) -> Path:
    """Put every object of a lake; returns a copy of its database in a folder."""
    for path in lake.rglob("*"):
        if path.is_file():
            if path.name.startswith(DATABASE):
                shutil.copy(path, folder)
            else:
                put(Key=str(path.relative_to(lake)), Body=path.read_bytes())
    return folder / DATABASE
