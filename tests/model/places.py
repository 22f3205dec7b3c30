"""Where a lake may live. Test folders turn these into fixtures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from udtf.lake.lake import Lake


@dataclass(frozen=True)
class Place:
    """A lake's two addresses; `db_url` is None for the SQLite file in the folder."""

    uri: str
    db_url: str | None
    list_files: Callable[[], list[str]] = field(repr=False)
    """Paths of the objects below the uri, relative to it."""

    def open(self) -> Lake:
        return Lake.open(self.uri, self.db_url)

    def blobs(self) -> list[str]:
        return [path for path in self.list_files() if path.startswith("blobs/")]

    def parquet_files(self) -> list[str]:
        return [path for path in self.list_files() if path.startswith("views/")]


def local_place(folder: Path, db_url: str | None = None) -> Place:
    """A lake in a folder of this machine."""

    def list_files() -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    return Place(str(folder), db_url and driver_url(db_url), list_files)


def driver_url(db_url: str) -> str:
    """The same database through the PostgreSQL driver that the project depends on."""
    url = make_url(db_url)
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


class StatementCounter:
    """Counts the statements that any database connection of this process executes while it is entered."""

    def __enter__(self) -> "StatementCounter":
        self.statements: list[str] = []
        event.listen(Engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.statements.append(statement)

    def __len__(self) -> int:
        return len(self.statements)
