"""The command `flightsrv`, and a server that it started."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

FLIGHTSRV = str(Path(sys.executable).with_name("flightsrv"))


@dataclass(frozen=True)
class Shell:
    """Runs `flightsrv` in a folder, against a server."""

    folder: Path
    url: str

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; text in and out."""
        return subprocess.run(
            [FLIGHTSRV, *arguments],
            cwd=self.folder,
            env={"FLIGHTSRV_URL": self.url, "PATH": "", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def lines(self, *arguments: str) -> list[str]:
        """The lines that a command prints on standard output; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`flightsrv serve` on a free port, stopped as a supervisor would."""
    folder = tmp_path_factory.mktemp("serve")
    command = [FLIGHTSRV, "serve", "--lake", str(folder / "lake"), "--port", "0"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().removeprefix("listening on ").strip()
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture
def shell(server_url: str, tmp_path: Path) -> Shell:
    """The command line in an empty folder."""
    return Shell(tmp_path, server_url)
