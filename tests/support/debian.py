"""Programs that some tests need and that come as packages of Debian, not of Python.

`python -m tests.support.debian`, which `make test` runs first, installs what is missing if it may. A test whose
program is not there is skipped, and says which package was missing.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

PROGRAMS = {
    "chromium": "usr/bin/chromium",
    "postgresql": "usr/lib/postgresql/*/bin/postgres",
}
"""Package to where it puts the program that tests run, as a pattern below the root folder."""


def find_program(package: str, root: Path = Path("/")) -> Path | None:
    """The program of a package, the newest if several versions are installed."""
    found = sorted(root.glob(PROGRAMS[package]), key=_version)
    return found[-1] if found else None


def program_or_skip(package: str, root: Path = Path("/")) -> Path:
    """The program of a package, or the running test is skipped."""
    program = find_program(package, root)
    if program is None:
        pytest.skip(f"needs Debian's package {package}: apt-get install {package}")
    return program


def install(packages: Sequence[str]) -> None:
    """Install packages without asking anything.

    Raises:
        subprocess.CalledProcessError: apt-get failed; it has said why.
    """
    apt_get = ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run([*apt_get, *command], env=environment, stdin=subprocess.DEVNULL, check=True)


def main() -> None:
    """Install what is missing, or say what will be skipped for the want of it."""
    missing = [package for package in PROGRAMS if find_program(package) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"Tests will be skipped that need Debian's packages: {' '.join(missing)} (only root can install them)")
        return
    try:
        install(missing)
    except subprocess.CalledProcessError:
        print(f"Tests will be skipped that need Debian's packages: {' '.join(missing)} (apt-get failed, see above)")


def _version(program: Path) -> list[int]:
    return [int(part) for part in program.parts if part.isdigit()]


if __name__ == "__main__":
    main()
