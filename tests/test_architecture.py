"""Who may know whom: what the folder names promise, kept true by reading the imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imports_of(package: str) -> Iterator[tuple[str, str]]:
    """Pairs of a module of the package and the name of something that it imports, anywhere in its code."""
    for path in (ROOT / package).rglob("*.py"):
        importer = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((importer, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
                yield from ((importer, f"{node.module}.{alias.name}") for alias in node.names)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def run_fresh(program: str, folder: Path) -> str:
    """What a program prints in a new interpreter that finds our packages only where they are installed."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_udtf_never_imports_flightsrv() -> None:
    """What SQL sees does not know who asks."""
    assert [pair for pair in imports_of("udtf") if is_in(pair[1], "flightsrv")] == []


LAYERS = ("wire", "policy", "flight", "flightsql", "server")
"""Packages of `flightsrv` that a call goes through, each of which may import those before it."""


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_the_server_import_downwards(layer: str) -> None:
    """The protocol does not know SQL, and what callers may do does not depend on how they call."""
    above = [f"flightsrv.{name}" for name in LAYERS[LAYERS.index(layer) + 1 :]]
    upwards = [pair for pair in imports_of(f"flightsrv/{layer}") for package in above if is_in(pair[1], package)]
    assert upwards == []


def test_workers_know_nothing_of_sql() -> None:
    """They are processes that compute, whatever that is."""
    known = {"udtf.workers", "udtf.execution", "udtf.errors"}
    ours = [pair for pair in imports_of("udtf/workers") if is_in(pair[1], "udtf")]
    assert [pair for pair in ours if not any(is_in(pair[1], package) for package in known)] == []


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("datafusion", ["udtf.sql"]),
        ("distributed", ["udtf.execution.elsewhere"]),
        ("fsspec", ["udtf.lake.objects"]),
        ("s3fs", ["udtf.lake.objects"]),
        ("sqlalchemy", ["udtf.lake.metadata", "flightsrv.tracing.integrations.sqlalchemy"]),
        ("grpc", ["flightsrv.flight.transports"]),
        ("pyarrow.flight", ["flightsrv.client", "flightsrv.flight.transports"]),
    ],
)
def test_a_library_is_known_in_one_place(library: str, homes: list[str]) -> None:
    """One package or module speaks to the library, and all others speak to that."""
    pairs = [*imports_of("udtf"), *imports_of("flightsrv")]
    importers = {importer for importer, name in pairs if is_in(name, library)}
    assert {importer for importer in importers if not any(is_in(importer, home) for home in homes)} == set()


def test_the_tracing_library_is_light(tmp_path: Path) -> None:
    """An application that imports it gets no library but Python's own."""
    program = "import sys; before = set(sys.modules); import flightsrv.tracing; print(*(set(sys.modules) - before))"
    loaded = {name.partition(".")[0] for name in run_fresh(program, tmp_path).split()}
    assert loaded - {"flightsrv", "udtf"} <= sys.stdlib_module_names


def test_the_folder_of_proto_files_is_no_module(tmp_path: Path) -> None:
    """The name `proto` is left to the package that everybody else knows by it."""
    program = (
        "import importlib.util; spec = importlib.util.find_spec('proto')\n"
        "print(*(spec.submodule_search_locations if spec else []))"
    )
    assert str(ROOT / "proto") not in run_fresh(program, tmp_path)
