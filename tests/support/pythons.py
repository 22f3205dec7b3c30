"""Other interpreters of this machine."""

import os
import subprocess
from pathlib import Path


def newer_pythons() -> list[Path]:
    """Interpreters from 3.12 on, if there are some beside the one that runs the tests."""
    folders = [Path(name) for name in os.environ["PATH"].split(os.pathsep)]
    folders += Path.home().glob(".pyenv/versions/3.1*/bin")
    found = (folder / f"python3.{minor}" for minor in range(12, 16) for folder in folders)
    return [path for path in found if path.exists() and _works(path)]


def _works(python: Path) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
