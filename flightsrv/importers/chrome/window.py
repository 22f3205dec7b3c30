"""The text of a trace file, a part at a time, so that a file of any size takes little memory."""

import codecs
import gzip
import hashlib
import re
import zlib
from pathlib import Path

_PART_BYTES = 1 << 18
_LONGEST_MATCH = 64
"""Characters that a pattern may take without being overlooked where the text ends for now."""
_GZIP = b"\x1f\x8b"
_WIDE_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Window:
    """`text` is the part of a file that is being looked at, `position` where in it; what lies before may go.

    Bytes that are not UTF-8 come as surrogates, which no valid text has. A file that is compressed badly ends where
    that is so, and `broken_gzip` tells why.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.text = ""
        self.position = 0
        self.broken_gzip: str | None = None
        self._dropped = 0
        self._digest = hashlib.sha256()
        self._file = path.open("rb")
        start = self._file.peek(2)[:2]
        self._source = gzip.GzipFile(fileobj=self._file) if start == _GZIP else self._file
        self._is_at_end = False
        first = self._read(_PART_BYTES)
        # PowerShell writes UTF-16 where a command's output goes to a file.
        encoding = _WIDE_ENCODINGS.get(first[:2])
        self._decoder = (
            codecs.getincrementaldecoder(encoding)("replace")
            if encoding
            else codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        )
        self.text = self._decoder.decode(first, self._is_at_end)

    @property
    def place(self) -> int:
        """How many characters of the file lie before the position."""
        return self._dropped + self.position

    def more(self) -> bool:
        """Extend the text, and drop what lies before the position; false when the file is at its end.

        The text at least doubles where nothing of it is dropped, so that growing it costs no more than reading it.
        """
        if self._is_at_end:
            return False
        rest = self.text[self.position :]
        self._dropped += self.position
        self.position = 0
        data = self._read(max(_PART_BYTES, len(rest)))
        self.text = rest + self._decoder.decode(data, self._is_at_end)
        return True

    def find(self, pattern: re.Pattern[str]) -> bool:
        """Move the position to the next match of a pattern; to the end of the file, and false, when there is none."""
        while (found := pattern.search(self.text, self.position)) is None:
            self.position = max(self.position, len(self.text) - _LONGEST_MATCH)
            if not self.more():
                self.position = len(self.text)
                return False
        self.position = found.start()
        return True

    def ensure(self, characters: int) -> None:
        """Extend the text until so many characters follow the position, or the file ends."""
        while len(self.text) - self.position < characters and self.more():
            pass

    def digest(self) -> str:
        """What identifies the content, compressed or not. Reads the rest of the file."""
        while not self._is_at_end:
            self._read(_PART_BYTES)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Harmless when called again."""
        self._file.close()

    def _read(self, size_bytes: int) -> bytes:
        """The next bytes, fewer only at the end of the file."""
        data = bytearray()
        try:
            # Not `read`, which loses what it has when it comes to a fault.
            while len(data) < size_bytes and (part := self._source.read1(size_bytes - len(data))):
                data += part
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            self.broken_gzip = str(error)
        self._is_at_end = len(data) < size_bytes
        self._digest.update(data)
        return bytes(data)
