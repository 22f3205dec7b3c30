"""The version of a lake: which tables its database has, and how they come from those of the version before.

A program opens lakes of its own version, and of older ones after it has migrated them. One that a newer program has
made, or that comes from before there were versions, is refused.
"""

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from udtf.errors import StoreRefused
from udtf.lake.metadata.tables import TABLES, lake

VERSION = 2

MIGRATIONS: Mapping[int, Callable[[sa.Connection], None]] = {}
"""By version: what makes its tables from those of the version before. Version 1 had a row and an object for each
block, was never released, and cannot be migrated."""

_TABLES_OF_VERSION_1 = {"blocks", "processes"}


def is_current(connection: sa.Connection) -> bool:
    """Whether a lake has the tables of this version. Asked first, as a lake may be read-only."""
    return sa.inspect(connection).has_table(lake.name) and connection.scalar(sa.select(lake.c.version)) == VERSION


def prepare(connection: sa.Connection) -> None:
    """Make the tables of a new lake, or bring those of an older one up to date, within a transaction.

    Raises:
        StoreRefused: the lake is of a version that this program cannot read.
    """
    names = set(sa.inspect(connection).get_table_names())
    if lake.name not in names:
        if names >= _TABLES_OF_VERSION_1:
            raise StoreRefused(
                f"the lake has version 1, of before the first release; this program reads version {VERSION}. "
                "Record anew, or keep the program that made it"
            )
        TABLES.create_all(connection)
        connection.execute(sa.insert(lake).values(version=VERSION))
        return
    version = connection.scalar(sa.select(lake.c.version))
    if version is None or version > VERSION:
        raise StoreRefused(
            f"the lake has version {version}, this program reads up to version {VERSION}: use a newer program"
        )
    for number in range(version + 1, VERSION + 1):
        MIGRATIONS[number](connection)
    if version < VERSION:
        connection.execute(sa.update(lake).values(version=VERSION))
