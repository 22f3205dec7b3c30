"""The program that the demo records: it reads the standard library's own sources, indexes them and archives them.

    main thread -> readers -> parsers -> indexers      syntax trees become words, words go to shards behind locks
                          \\-> compressors -> uploads   the best of three methods, to two of three stores (`replicas`)
                          \\-> hashers                  rounds that meet at a barrier and extend one chain of digests

At the end it reads the whole archive back and compares. Fifty-odd threads that do work, and wait on one another.
"""

import ast
import bz2
import hashlib
import itertools
import logging
import lzma
import sysconfig
import threading
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from flightsrv.demo.replicas import Replicas
from flightsrv.demo.stages import Failure, Stage
from flightsrv.tracing import counter, instant, span

READERS = 4
PARSERS = 18
INDEXERS = 12
COMPRESSORS = 10
HASHERS = 6

PIECE_BYTES = 16 << 10
PIECES_IN_ROUND = 4 * HASHERS
SHARDS = 8
MAX_UPLOADS = 64
"""Pieces that wait for their stores before compressors wait as well."""

_log = logging.getLogger(__name__)
_archive_size = counter("archive", "bytes")

_METHODS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "zlib": (zlib.compress, zlib.decompress),
    "bz2": (bz2.compress, bz2.decompress),
    "lzma": (partial(lzma.compress, preset=0), lzma.decompress),
}

_LEAVES = (ast.Constant, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.alias)


@dataclass(frozen=True)
class ArchiveReport:
    """What the program has done."""

    documents: int
    nodes: int
    words: int
    pieces: int
    source_bytes: int
    archive_bytes: int
    chain_digest: str


@dataclass(frozen=True)
class _Document:
    name: str
    source: bytes


@dataclass(frozen=True)
class _Round:
    """Pieces that the hashers share out among them; `digests` has a place for each."""

    pieces: list[bytes]
    digests: list[bytes]


@dataclass
class _Shard:
    """Part of the index: in which documents a word is, and how often."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    postings: defaultdict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))


def archive_standard_library(min_nodes: int) -> ArchiveReport:
    """Run the program until it has visited this many nodes of syntax trees, each of which is a span.

    Raises whatever went wrong in one of its threads; all of them have ended then.
    """
    archive = _Archive()
    try:
        archive.feed(min_nodes)
    except BaseException as error:
        archive.failure.record(error)
    return archive.finish()


class _Archive:
    def __init__(self) -> None:
        self.failure = Failure()
        self._replicas = Replicas()
        self._uploads = threading.Semaphore(MAX_UPLOADS)
        self._stored: list[tuple[bytes, str, Future[bytes]]] = []
        self._archive_bytes = 0
        self._shards = [_Shard() for _ in range(SHARDS)]
        self._parser_lock = threading.Lock()
        self._lock = threading.Lock()
        self._documents = 0
        self._nodes = 0
        self._source_bytes = 0
        self._round: list[bytes] = []
        self._round_lock = threading.Lock()
        self._round_barrier = self.failure.barrier(HASHERS)
        self._chain = b""
        self._readers = Stage("reader", READERS, self._read, self.failure)
        self._parsers = Stage("parser", PARSERS, self._parse, self.failure)
        self._indexers = Stage("indexer", INDEXERS, self._index, self.failure)
        self._compressors = Stage("compressor", COMPRESSORS, self._compress, self.failure)
        # A stage for each, so that every one of them takes part in every round.
        self._hashers = [
            Stage(f"hasher-{number + 1}", 1, self._hash(number), self.failure) for number in range(HASHERS)
        ]

    def feed(self, min_nodes: int) -> None:
        """Hand out files, over and over, until there was enough to do."""
        with span("feed"):
            for path in itertools.cycle(_source_files()):
                if self._nodes >= min_nodes or self.failure.error is not None:
                    return
                self._readers.put(path)

    def finish(self) -> ArchiveReport:
        with span("finish"):
            for stage in (self._readers, self._parsers, self._indexers, self._compressors):
                stage.finish()
            self._start_round()
            for hasher in self._hashers:
                hasher.finish()
            try:
                if self.failure.error is not None:
                    raise self.failure.error
                self._verify()
            finally:
                self._replicas.close()
        return ArchiveReport(
            self._documents,
            self._nodes,
            sum(len(shard.postings) for shard in self._shards),
            len(self._stored),
            self._source_bytes,
            self._archive_bytes,
            self._chain.hex(),
        )

    def _read(self, path: Path) -> None:
        with span("read document", path=str(path)) as opened:
            document = _Document(str(path), path.read_bytes())
            opened.set(bytes=len(document.source))
        _log.info("read %s: %d bytes", path, len(document.source))
        self._parsers.put(document)
        for begin in range(0, len(document.source), PIECE_BYTES):
            piece = document.source[begin : begin + PIECE_BYTES]
            self._compressors.put(piece)
            self._add_to_round(piece)
        with self._lock:
            self._documents += 1
            self._source_bytes += len(document.source)

    def _parse(self, document: _Document) -> None:
        words: Counter[str] = Counter()
        # Python's parser fails when two threads are in it, in some versions.
        with span("wait for the parser"):
            self._parser_lock.acquire()
        try:
            with span("parse document", path=document.name):
                tree = ast.parse(document.source)
        except (SyntaxError, ValueError, SystemError) as error:
            # Some of the library's tests are meant to be wrong; and the parser's count of its own depth, which Python
            # 3.11 keeps for all threads together, now and then comes out wrong even so.
            _log.warning("%s cannot be parsed: %s", document.name, error)
            return
        finally:
            self._parser_lock.release()
        nodes = _visit(tree, words)
        with self._lock:
            self._nodes += nodes
        self._indexers.put((document.name, words))

    def _index(self, job: tuple[str, Counter[str]]) -> None:
        document, words = job
        with span("sort words"):
            by_shard: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
            for word, count in sorted(words.items()):
                by_shard[zlib.crc32(word.encode()) % SHARDS].append((word, count))
        for number, postings in by_shard.items():
            shard = self._shards[number]
            with span("wait for shard"):
                shard.lock.acquire()
            try:
                with span("merge into shard"):
                    for word, count in postings:
                        shard.postings[word][document] = count
            finally:
                shard.lock.release()

    def _compress(self, piece: bytes) -> None:
        with span("compress piece", bytes=len(piece)) as opened:
            packed = {}
            for method, (compress, _) in _METHODS.items():
                with span(f"try {method}"):
                    packed[method] = compress(piece)
            method, smallest = min(packed.items(), key=lambda item: len(item[1]))
            opened.set(method=method, share=len(smallest) / len(piece))
        with span("wait for uploads"):
            self._uploads.acquire()
        upload = self._replicas.put(smallest)
        upload.add_done_callback(lambda _: self._uploads.release())
        with self._lock:
            self._stored.append((piece, method, upload))
            self._archive_bytes += len(smallest)
            _archive_size.set(self._archive_bytes)

    def _add_to_round(self, piece: bytes) -> None:
        with self._round_lock:
            self._round.append(piece)
            if len(self._round) == PIECES_IN_ROUND:
                self._start_round()

    def _start_round(self) -> None:
        instant("a round begins")
        this_round = _Round(self._round, [b""] * len(self._round))
        self._round = []
        for hasher in self._hashers:
            hasher.put(this_round)

    def _hash(self, number: int) -> Callable[[_Round], None]:
        def work(this_round: _Round) -> None:
            for index in range(number, len(this_round.pieces), HASHERS):
                with span("hash piece"):
                    this_round.digests[index] = _digest(this_round.pieces[index])
            with span("wait for the round"):
                self._round_barrier.wait()
            if number == 0:
                with span("extend chain"):
                    self._chain = hashlib.sha256(self._chain + b"".join(this_round.digests)).digest()

        return work

    def _verify(self) -> None:
        """Read the archive back from the stores and compare it with what was put there."""
        with span("wait for uploads"):
            digests = [upload.result() for _, _, upload in self._stored]
        with span("fetch archive"):
            packed_pieces = self._replicas.fetch_all(digests)
        with span("compare"):
            for (piece, method, _), packed in zip(self._stored, packed_pieces, strict=True):
                with span(f"unpack {method}"):
                    unpacked = _METHODS[method][1](packed)
                if unpacked != piece:
                    raise ValueError("a piece came back different")


def _visit(node: ast.AST, words: Counter[str]) -> int:
    """Count the names that a piece of syntax uses; returns how many pieces it consists of, itself included."""
    nodes = 1
    with span(f"visit {type(node).__name__}"):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name):
                words[child.id] += 1
            elif not isinstance(child, _LEAVES):
                nodes += _visit(child, words)
    return nodes


def _digest(piece: bytes) -> bytes:
    with span("sha256"):
        inner = hashlib.sha256(piece).digest()
    with span("blake2b"):
        return hashlib.blake2b(piece, key=inner).digest()


def _source_files() -> list[Path]:
    """The modules of the standard library, in a fixed order."""
    folder = Path(sysconfig.get_path("stdlib"))
    return [path for path in sorted(folder.rglob("*.py")) if not {"site-packages", "dist-packages"} & set(path.parts)]
