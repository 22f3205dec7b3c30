"""The object store: whole objects by key. The only module that knows fsspec."""

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec

from udtf.errors import CorruptData


class ObjectMissing(CorruptData):
    """The metadata names an object that the store does not have."""


class ObjectStore:
    """Objects under one root: a local folder, or any URL that fsspec knows (`s3://bucket/prefix`).

    An object is there whole or not at all, and is never changed once written. Safe to use from many threads.
    """

    def __init__(self, uri: str, **storage_options: Any) -> None:
        protocol = fsspec.utils.get_protocol(uri)
        self.is_local = protocol in ("file", "local")
        if not self.is_local:
            # Other servers write too: what a listing said a second ago is no answer.
            storage_options.setdefault("use_listings_cache", False)
        self._files, root = fsspec.core.url_to_fs(uri, **storage_options)
        self.root = str(root).rstrip("/")

    def get(self, key: str) -> bytes:
        """All bytes of an object.

        Raises:
            ObjectMissing: there is no such object.
        """
        try:
            data: bytes = self._files.cat_file(self._path(key))
        except FileNotFoundError as error:
            raise ObjectMissing(f"object {key} is missing from the store") from error
        return data

    def put(self, key: str, data: bytes, *, durable: bool) -> None:
        """Write an object; it replaces one of the same key.

        With `durable`, it has reached the disk on return. A remote store always promises that.
        """
        if self.is_local:
            self._put_local(Path(self._path(key)), data, durable)
        else:
            self._files.pipe_file(self._path(key), data)

    def delete(self, key: str) -> None:
        """Remove an object, or do nothing if there is none."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(key))

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix (a folder), sorted."""
        paths = self._files.find(self._path(prefix))
        return sorted(str(path)[len(self.root) + 1 :] for path in paths)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    @staticmethod
    def _put_local(path: Path, data: bytes, durable: bool) -> None:
        """Write beside and rename, so that no reader and no crash ever sees half a file."""
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            file = partial.open("xb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = partial.open("xb")
        try:
            with file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if durable:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
