"""Record batches that a client sends with DoPut."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import pyarrow as pa

from udtf.errors import InvalidArgument


class Chunk(Protocol):
    """One message of an upload; `data` is None where it has no rows to carry."""

    data: pa.RecordBatch | None


class Upload:
    """What follows the command of a DoPut. It can be read once."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = chunks

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The record batches as they arrive.

        Raises:
            InvalidArgument: the bytes are no Arrow stream.
        """
        chunks = iter(self._chunks)
        while True:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            except pa.ArrowInvalid as e:
                raise InvalidArgument("the upload is not a valid stream of Arrow record batches") from e
            if chunk.data is not None:
                yield chunk.data
