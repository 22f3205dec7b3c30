"""Where a lake is, as values that another process can open it by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from udtf.errors import InvalidArgument, StoreRefused
from udtf.lake.metadata import MetadataStore
from udtf.lake.objects import ObjectStore, local_folder
from udtf.lake.settings import LakeSettings


@dataclass(frozen=True)
class LakeAddress:
    """An object store and a metadata database.

    Attributes:
        uri: a folder, or a URL that fsspec knows, such as `s3://bucket/prefix`.
        db_url: an SQLAlchemy URL.
        storage_options: handed to the file system of a remote store.
    """

    uri: str
    db_url: str
    settings: LakeSettings
    storage_options: Mapping[str, Any] | None

    @classmethod
    def of(
        cls, uri: str, db_url: str | None, settings: LakeSettings, storage_options: Mapping[str, Any] | None
    ) -> "LakeAddress":
        """With an SQLite file in the folder for a database where none is given.

        Raises:
            InvalidArgument: the store is remote and no database is given.
        """
        folder = local_folder(uri)
        if folder is not None:
            uri = str(folder)
        elif db_url is None:
            raise InvalidArgument(f"a lake at {uri} needs a database for its metadata: give an SQLAlchemy URL (--db)")
        return cls(uri, db_url or f"sqlite:///{uri}/metadata.db", settings, storage_options)

    def for_workers(self) -> "LakeAddress":
        """The same, for those that work for others and have none themselves."""
        return replace(self, settings=replace(self.settings, builders="threads"))

    def check(self) -> None:
        """Raises StoreRefused where a folder is not on this machine, which would be made otherwise."""
        folder = local_folder(self.uri)
        if folder is not None and not folder.is_dir():
            raise StoreRefused("the folder of the lake is not on this machine")

    def open(self) -> tuple[ObjectStore, MetadataStore]:
        """Open both, or begin them.

        Raises:
            StoreUnavailable: the database does not answer.
            StoreRefused: the lake is of a version that this program cannot read.
        """
        folder = local_folder(self.uri)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        objects = ObjectStore.open(self.uri, self.settings.store, self.storage_options)
        return objects, MetadataStore(self.db_url, self.settings.database)
