"""Lakes of known content, made once and kept in `benchmarks/out/lakes` until something that makes them changes.

A lake has one process to measure, named after its shape, and a tiny one beside it, `WARM_UP`: a trace of that loads all
code of a server without touching anything of the other.
"""

import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks import generator
from flightsrv import telemetry
from udtf.lake import block_format, ingestion, matching, metadata, objects, schemas
from udtf.lake.lake import Lake

START_NS = 1_767_261_600_000_000_000  # 2026-01-01T10:00:00Z
TICKS_PER_SECOND = 1_000_000_000
MIN_BLOCK_EVENTS = 4_096
MAX_BLOCK_EVENTS = telemetry.DEFAULT_BLOCK_EVENTS
WARM_UP = "warm-up"


@dataclass(frozen=True)
class Shape:
    """How much a process recorded: `spans` by its threads, and async spans by one event loop. A span is two events."""

    threads: int
    spans_per_thread: int
    async_spans: int = 0

    @property
    def process_id(self) -> str:
        return f"{self.threads}x{self.spans_per_thread}" + (f".{self.async_spans}-async" if self.async_spans else "")

    @property
    def spans(self) -> int:
        return self.threads * self.spans_per_thread

    def __str__(self) -> str:
        threads = f"{self.threads} threads x {self.spans_per_thread:,} spans"
        return f"{threads}, {self.async_spans:,} async spans" if self.async_spans else threads


SMALL = Shape(50, 100)
MILLION = Shape(50, 20_000)
TEN_MILLION = Shape(50, 200_000)
MANY_THREADS = Shape(500, 200)
MEDIUM = Shape(50, 2_000)
ASYNC = Shape(50, 100, async_spans=200_000)
SHAPES = (SMALL, MEDIUM, MILLION, TEN_MILLION, MANY_THREADS, ASYNC)

_WARM_UP_SHAPE = Shape(2, 100, async_spans=100)


@dataclass(frozen=True)
class Workbench:
    """A folder where lakes and results are kept."""

    out: Path

    def lake(self, shape: Shape) -> Path:
        """The lake of a shape, made if it is not there. Nothing in it is materialized, and nobody may change that."""
        lakes = self.out / "lakes"
        folder = lakes / f"{shape.process_id}-{_version()}"
        if not folder.exists():
            lakes.mkdir(parents=True, exist_ok=True)
            for outdated in lakes.glob(f"{shape.process_id}-*"):
                shutil.rmtree(outdated)
            unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=lakes))
            _make(unfinished, shape)
            unfinished.rename(folder)
        return folder

    @contextmanager
    def fresh_copy(self, shape: Shape) -> Iterator[Path]:
        """A lake of that shape to do with as one likes, where nothing is materialized. Gone afterwards."""
        original = self.lake(shape)
        with tempfile.TemporaryDirectory(prefix="copy-", dir=self.out) as folder:
            copy = Path(folder) / "lake"
            # Objects never change once they are written, so a second name for each is a copy.
            shutil.copytree(original / "blobs", copy / "blobs", copy_function=os.link)
            shutil.copy(original / "metadata.db", copy)
            yield copy


@cache
def _version() -> str:
    """Known by the code that makes a lake: a change of it makes another one."""
    makers = (generator, telemetry, block_format, ingestion, matching, metadata, objects, schemas)
    sources = [Path(__file__), *(source for maker in makers for source in _sources(maker))]
    return hashlib.blake2b(b"".join(source.read_bytes() for source in sources), digest_size=6).hexdigest()


def _sources(module: ModuleType) -> list[Path]:
    """The files of a module, or of a package."""
    file = Path(str(module.__file__))
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _make(folder: Path, shape: Shape) -> None:
    lake = Lake.open(str(folder))
    try:
        _ingest_process(lake, WARM_UP, _WARM_UP_SHAPE)
        _ingest_process(lake, shape.process_id, shape)
    finally:
        lake.close()
    (folder / "shape.json").write_text(json.dumps(asdict(shape)) + "\n")


def _ingest_process(lake: Lake, process_id: str, shape: Shape) -> None:
    process = telemetry.Process(
        process_id,
        TICKS_PER_SECOND,
        START_NS,
        start_ticks=0,
        exe="/srv/program/main.py",
        computer="benchmark",
        properties={"pid": "4242"},
    )
    streams = [
        telemetry.thread_stream(f"{process_id}-{thread:03}", process_id, f"worker-{thread}", 10_000 + thread)
        for thread in range(shape.threads)
    ]
    lake.ingest("processes", telemetry.processes_batch([process]))
    lake.ingest("streams", telemetry.streams_batch(streams))
    # A sender sends full blocks of what a busy thread records, and smaller ones from time to time of the others.
    sizes = np.random.default_rng(generator.SEED).integers(MIN_BLOCK_EVENTS, MAX_BLOCK_EVENTS, shape.threads)
    for thread, (stream, block_events) in enumerate(zip(streams, sizes.tolist(), strict=True)):
        events = generator.thread_events(shape.spans_per_thread, thread)
        ids = map(f"{stream.stream_id}-{{}}".format, itertools.count())
        blocks = telemetry.cut_blocks(stream, events, max_events=block_events, new_id=ids.__next__)
        lake.ingest("blocks", telemetry.blocks_batch(list(blocks)))
    if shape.async_spans:
        loop = telemetry.async_stream(f"{process_id}-loop", process_id, "event loop", 10_000)
        lake.ingest("streams", telemetry.streams_batch([loop]))
        ids = map(f"{loop.stream_id}-{{}}".format, itertools.count())
        blocks = telemetry.cut_blocks(loop, generator.async_events(shape.async_spans), new_id=ids.__next__)
        lake.ingest("blocks", telemetry.blocks_batch(list(blocks)))
