"""Scopes by content: a number that is the same wherever the same scope was recorded."""

import struct
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ScopeHashes = npt.NDArray[np.uint64]


def scope_hashes(scope_table: pa.StructArray) -> ScopeHashes:
    """The hash of each scope of a table of type `block_format.SCOPE`, in order."""
    columns = [scope_table.field(name).to_pylist() for name in ("name", "target", "filename", "line")]
    return np.fromiter(map(scope_hash, *columns), np.uint64, len(scope_table))


@lru_cache(1 << 16)
def scope_hash(name: str, target: str, filename: str, line: int) -> int:
    """64 bits of BLAKE2b over the texts in UTF-8, each after its length in bytes (4, little-endian), and the line."""
    digest = blake2b(digest_size=8)
    for text in (name, target, filename):
        encoded = text.encode()
        digest.update(struct.pack("<I", len(encoded)))
        digest.update(encoded)
    digest.update(struct.pack("<I", line))
    return int.from_bytes(digest.digest(), "little")
