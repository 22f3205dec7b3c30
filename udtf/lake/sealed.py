"""Bytes that are stored with their hash, so that damage is noticed before anything is made of them.

Arrow's readers trust what they read: one flipped bit in the header of a message can end the process. So everything that
comes back from a disk or a database goes through here, or is hashed in another way, before Arrow sees it.
"""

import hashlib
import json
from collections.abc import Mapping

from udtf.errors import CorruptData

DIGEST_BYTES = 16
_LENGTH_BYTES = 4


def digest(*parts: bytes | memoryview) -> bytes:
    """BLAKE2b, 128 bits, of parts put end to end."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def seal(data: bytes) -> bytes:
    """The bytes with their hash before them."""
    return digest(data) + data


def unseal(sealed: bytes, what: str) -> memoryview:
    """The bytes that were sealed, without a copy.

    Args:
        what: names them in the message of an error.

    Raises:
        CorruptData: they are not what was sealed.
    """
    data = memoryview(sealed)[DIGEST_BYTES:]
    if len(sealed) < DIGEST_BYTES or digest(data) != bytes(sealed[:DIGEST_BYTES]):
        raise CorruptData(f"{what} is damaged: its bytes do not have the hash that was stored with them")
    return data


def join_parts(parts: Mapping[str, bytes]) -> bytes:
    """Named parts as one value."""
    header = json.dumps({name: len(part) for name, part in parts.items()}).encode()
    return b"".join((len(header).to_bytes(_LENGTH_BYTES, "little"), header, *parts.values()))


def split_parts(data: bytes | memoryview) -> dict[str, memoryview]:
    """The parts that `join_parts` put together, without a copy, from bytes that can be trusted."""
    view = memoryview(data)
    begin = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    parts = {}
    for name, size in json.loads(bytes(view[_LENGTH_BYTES:begin])).items():
        parts[name] = view[begin : begin + size]
        begin += size
    return parts
