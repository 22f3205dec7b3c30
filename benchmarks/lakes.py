"""Lakes of known content, made once and kept in `benchmarks/out/lakes` until something that makes them changes.

A lake has one recording to measure and a tiny process beside it, `WARM_UP_ID`: a trace of that loads all code of a
server without touching anything of the other. It is made as any sender would make it, by uploads, so
nothing in here knows what a lake looks like, but for the name of its database.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import flightsrv
import udtf
from benchmarks.recordings import WARM_UP, Recording
from udtf.lake.lake import Lake

WARM_UP_ID = "warm-up"
DATABASE = "metadata.db"


@dataclass(frozen=True)
class Workbench:
    """A folder where lakes and results are kept."""

    out: Path

    def lake(self, recording: Recording) -> Path:
        """The lake of a recording, made if it is not there. Nothing in it is materialized, which must stay so."""
        lakes = self.out / "lakes"
        folder = lakes / f"{recording.process_id}.{_version()}"
        if not folder.exists():
            lakes.mkdir(parents=True, exist_ok=True)
            for outdated in lakes.glob(f"{recording.process_id}.*"):
                shutil.rmtree(outdated)
            with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=lakes) as unfinished:
                _make(Path(unfinished) / "lake", recording)
                (Path(unfinished) / "lake").rename(folder)
        return folder

    @contextmanager
    def fresh_copy(self, recording: Recording) -> Iterator[Path]:
        """A lake of that recording to do with as one likes, where nothing is materialized. Gone afterwards."""
        original = self.lake(recording)
        with self.folder("copy-") as folder:
            # Objects never change once they are written, so a second name for each is a copy.
            copy = shutil.copytree(original, folder / "lake", copy_function=_copy)
            yield Path(copy)

    @contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """An empty folder. Gone afterwards."""
        self.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.out) as folder:
            yield Path(folder)


def count_files(lake: Path) -> int:
    """How many a lake has, its database with them."""
    return sum(path.is_file() for path in lake.rglob("*"))


@cache
def _version() -> str:
    """Known by the code that makes a lake: a change of it makes another one."""
    here = Path(__file__).parent
    sources = [
        *(here / f"{name}.py" for name in ("generator", "lakes", "recordings", "uploads")),
        Path(str(flightsrv.__file__)).parent / "telemetry.py",
        *sorted((Path(str(udtf.__file__)).parent / "lake").rglob("*.py")),
    ]
    return hashlib.blake2b(b"".join(source.read_bytes() for source in sources), digest_size=6).hexdigest()


def _make(folder: Path, recording: Recording) -> None:
    lake = Lake.open(str(folder))
    try:
        for table, batch in chain(WARM_UP.uploads_as(WARM_UP_ID), recording.uploads()):
            lake.ingest(table, batch)
        # As a server leaves it that has run for a while.
        lake.packing.kept_s = 0.0
        list(lake.packing.pack_all())
        lake.removal.collect_garbage()
    finally:
        lake.close()


def _copy(source: str, copy: str) -> None:
    if Path(source).name.startswith(DATABASE):  # beside it may be its journal
        shutil.copy(source, copy)
    else:
        os.link(source, copy)
