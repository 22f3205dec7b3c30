"""The object store: whole objects by key, wherever they are kept. The only package that knows fsspec."""

from udtf.lake.objects.backend import Backend, ObjectMissing, StoreRefused, TransientError
from udtf.lake.objects.local_folder import LocalFolder
from udtf.lake.objects.remote_folder import RemoteFolder
from udtf.lake.objects.store import ObjectStore, local_folder

__all__ = [
    "Backend",
    "LocalFolder",
    "ObjectMissing",
    "ObjectStore",
    "RemoteFolder",
    "StoreRefused",
    "TransientError",
    "local_folder",
]
