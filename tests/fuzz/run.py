"""Runs of one target in a process of their own, which ends if one of them does."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 4096
MAX_SECONDS = 20
"""For one run; a reader that takes longer hangs."""


@dataclass(frozen=True)
class Outcome:
    """How it ended: whether all runs were well, and what libFuzzer printed."""

    is_well: bool
    printed: str


def fuzz(target: str, folder: Path, *, runs: int, seed: int = 1) -> Outcome:
    """Run a target so many times. What breaks it is left in the folder."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.one", target, str(corpus)]
    command += [f"-runs={runs}", f"-seed={seed}", f"-max_len={MAX_BYTES}", f"-timeout={MAX_SECONDS}"]
    command += ["-rss_limit_mb=0", f"-artifact_prefix={folder}/"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return Outcome(done.returncode == 0, done.stderr)
