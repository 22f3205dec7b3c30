"""The stores on which phases are measured, each with fresh lakes for whoever wants one."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boto3

from benchmarks.lakes import Shape, Workbench
from benchmarks.latency import slow_lake
from benchmarks.servers import listening
from udtf.lake.lake import Lake
from udtf.lake.objects import ObjectStore
from udtf.lake.settings import LakeSettings

LATENCY_S = 0.05
LOCAL, SLOW, S3 = STORE_TITLES = ("local", "50 ms per request", "S3 simulator")

OpenLake = Callable[[LakeSettings], Lake]
"""Opens one and the same lake, again and again."""


@dataclass(frozen=True)
class Store:
    """Where lakes are.

    Attributes:
        title: as figures call it.
        fresh_lake: a lake of a shape in which nothing is materialized; gone when its block ends.
    """

    title: str
    fresh_lake: Callable[[Shape], AbstractContextManager[OpenLake]]


@contextmanager
def local_store(bench: Workbench) -> Iterator[Store]:
    """Folders of this machine."""

    @contextmanager
    def fresh_lake(shape: Shape) -> Iterator[OpenLake]:
        with bench.fresh_copy(shape) as folder:
            yield lambda settings: Lake.open(str(folder), settings=settings)

    yield Store(LOCAL, fresh_lake)


@contextmanager
def slow_store(bench: Workbench) -> Iterator[Store]:
    """The same, with latency."""

    @contextmanager
    def fresh_lake(shape: Shape) -> Iterator[OpenLake]:
        with bench.fresh_copy(shape) as folder:
            yield lambda settings: slow_lake(folder, LATENCY_S, settings)

    yield Store(SLOW, fresh_lake)


@contextmanager
def s3_store(bench: Workbench) -> Iterator[Store]:
    """A bucket of a simulator for each shape; the database is a file of this machine."""
    bench.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="s3-", dir=bench.out) as scratch,
        listening(["benchmarks.s3_server"], Path(scratch) / "log") as (url, _),
    ):
        access = {"endpoint_url": url, "key": "benchmarks", "secret": "benchmarks"}

        @cache
        def bucket(shape: Shape) -> str:
            """With all blocks of the shape."""
            name = f"lake-{shape.process_id.replace('.', '-')}"
            client = boto3.client(
                "s3", "us-east-1", endpoint_url=url, aws_access_key_id="benchmarks", aws_secret_access_key="benchmarks"
            )
            client.create_bucket(Bucket=name)
            original = bench.lake(shape)
            for path in original.glob("blobs/**/*"):
                if path.is_file():
                    client.put_object(Bucket=name, Key=str(path.relative_to(original)), Body=path.read_bytes())
            return f"s3://{name}"

        @contextmanager
        def fresh_lake(shape: Shape) -> Iterator[OpenLake]:
            uri = bucket(shape)
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                # A new database knows of no partition, so those of other lakes in the bucket are not seen.
                db_url = f"sqlite:///{shutil.copy(bench.lake(shape) / 'metadata.db', folder)}"
                yield lambda settings: Lake.open(uri, db_url, settings, storage_options=access)
            objects = ObjectStore.open(uri, storage_options=access)
            for key in objects.written_at("views"):
                objects.delete(key)

        yield Store(S3, fresh_lake)


STORES: dict[str, Callable[[Workbench], AbstractContextManager[Store]]] = {
    "local": local_store,
    "slow": slow_store,
    "s3": s3_store,
}
