"""A large object as a file to read from: ranges of it are fetched, and no more of it is in memory than those."""

import io
from collections.abc import Callable, Iterable

from udtf.errors import CorruptData

HOLE_BYTES = 256 << 10
"""Ranges that are no farther apart are fetched as one: a request takes longer than so many bytes."""


class RangedFile(io.RawIOBase):
    """Not for more than one thread at once.

    Args:
        fetch: the bytes from one offset to another, the last not included.
        size_bytes: of the whole object.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._position = 0
        self._fetched: list[tuple[int, bytes]] = []

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges that are about to be read, in place of those fetched before."""
        self._fetched = []
        for begin, end in merged(ranges):
            self._fetched.append((begin, self._fetch_whole(begin, end)))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Raises CorruptData where the object ends before its size."""
        begin = self._position
        end = self._size_bytes if size < 0 else min(begin + size, self._size_bytes)
        if begin >= end:
            return b""
        self._position = end
        for offset, data in self._fetched:
            if offset <= begin and end <= offset + len(data):
                return data[begin - offset : end - offset]
        return self._fetch_whole(begin, end)

    def _fetch_whole(self, begin: int, end: int) -> bytes:
        data = self._fetch(begin, end)
        if len(data) != end - begin:
            raise CorruptData(f"bytes {begin} to {end} are asked for, and there are {len(data)}")
        return data


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that touch or nearly do put together."""
    result: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if result and begin - result[-1][1] <= HOLE_BYTES:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((begin, end))
    return result
