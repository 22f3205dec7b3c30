"""Where a lake may live. Test folders turn these into fixtures."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from sqlalchemy import Engine, event

from udtf.lake.lake import Lake
from udtf.lake.objects import LocalFolder


class FarFolder(LocalFolder):
    """Passes for a store that is not on this machine, whose files are worth keeping in memory."""

    is_local = False


@dataclass(frozen=True)
class Place:
    """A lake's two addresses; `db_url` is None for the SQLite file in the folder."""

    uri: str
    db_url: str | None
    list_files: Callable[[], list[str]] = field(repr=False)
    """Paths of the objects below the uri, relative to it."""

    def open(self) -> Lake:
        return Lake.open(self.uri, self.db_url)

    def segments(self) -> list[str]:
        return [path for path in self.list_files() if path.startswith("segments/")]

    def parquet_files(self) -> list[str]:
        return [path for path in self.list_files() if path.startswith("views/")]


def local_place(folder: Path, db_url: str | None = None) -> Place:
    """A lake in a folder of this machine."""

    def list_files() -> list[str]:
        # What begins with a dot was being written when its writer died, and is no object.
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(folder).as_posix() for path in files)

    return Place(str(folder), db_url, list_files)


def s3_place(bucket_url: str, db_url: str) -> Place:
    """A lake in an S3 bucket of its own."""
    bucket = bucket_url.removeprefix("s3://")

    def list_files() -> list[str]:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    return Place(bucket_url, db_url, list_files)


def is_upkeep() -> bool:
    """Whether the calling thread is that of a server in this process which looks after its lake."""
    return threading.current_thread().name == "upkeep"


class StatementCounter:
    """Counts the statements that any database connection of this process executes while it is entered, but for what
    servers of other tests do for their lakes meanwhile."""

    def __enter__(self) -> "StatementCounter":
        self.statements: list[str] = []
        event.listen(Engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not is_upkeep():
            self.statements.append(statement)

    def __len__(self) -> int:
        return len(self.statements)
