"""The package as it is installed: without extras, and where its user may write nearly nowhere."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.cli import main
from flightsrv.client import connect
from tests.tracing.servers import tracing_server

ROOT = Path(__file__).parents[1]
NOBODY = 65534
AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    # It may read all files, since the interpreter may be in a folder of root. It may write to no more than others.
    *(f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")),
]
OF_SERVER = ["grpc", "datafusion", "numba", "fsspec", "tenacity", "sqlalchemy", "s3fs", "psycopg"]
OF_GATEWAY = ["fastapi", "starlette", "uvicorn", "h11", "pydantic", "prometheus_client"]
PROGRAM = """
import os, sys
from flightsrv import tracing
with tracing.start(sys.argv[1], settings=tracing.Settings(stop_timeout_s=60.0)) as session:
    with tracing.span("parent"):
        child = os.fork()
        if child == 0:
            with tracing.span("child"):
                pass
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
print(session.process_id)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what belongs to the package, since a build writes beside it."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("flightsrv", "udtf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(source: Path, kind: str) -> Path:
    """A wheel or an sdist, in the folder `dist`."""
    program = f"import setuptools.build_meta as backend; print('built', backend.build_{kind}('dist'))"
    (source / "dist").mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", program], cwd=source, check=True, capture_output=True, text=True)
    return source / "dist" / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build(source, "wheel")


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has nothing but the wheel; no index is asked for another package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    install = ["-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True)
    return folder / "bin"


def run_bare(*command: object) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, cwd="/", check=False)


@pytest.mark.slow
def test_a_program_records_without_any_extra(bare: Path, tmp_path: Path) -> None:
    """It and its child, which need no other package; and a lake's server has the spans of both."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with tracing_server(str(tmp_path / "lake")) as server:
        done = run_bare(bare / "python", program, server.http_url)
        assert done.returncode == 0, done.stderr
        sql = "SELECT name FROM process_spans($1, 'thread')"
        with connect(server.url) as client:
            parent = done.stdout.strip()
            children = client.query("SELECT process_id FROM processes WHERE parent_process_id = $1", [parent])
            (child,) = children["process_id"].to_pylist()
            assert client.query(sql, [parent])["name"].to_pylist() == ["parent"]
            assert client.query(sql, [child])["name"].to_pylist() == ["child"]


@pytest.mark.slow
def test_a_program_is_run_without_any_extra(bare: Path, tmp_path: Path) -> None:
    """As far as it is sent to a server."""
    (tmp_path / "program.py").write_text("import os, sys\nprint(os.environ['FLIGHTSRV_PROCESS_ID'], *sys.argv[1:])")
    with tracing_server(str(tmp_path / "lake")) as server:
        command = [bare / "flightsrv", "run", "--to", server.http_url, tmp_path / "program.py", "--to", "here"]
        done = run_bare(*command)
        process_id, *rest = done.stdout.split()
        assert (rest, done.stderr) == (["--to", "here"], "")
        with connect(server.url) as client:
            spans = client.query("SELECT name FROM process_spans($1, 'thread')", [process_id])
            assert spans["name"].to_pylist() == ["<module>"]
    done = run_bare(bare / "flightsrv", "run", tmp_path / "program.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: `flightsrv run` needs .* pip install 'flightsrv\[server\]'\n", done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "extra"), [("serve", "server"), ("warm-up", "server"), ("gateway", "gateway"), ("trace", "client")]
)
def test_a_command_without_its_extra_names_it(bare: Path, command: str, extra: str) -> None:
    """In one line, with the exit code of a failure."""
    done = run_bare(bare / "flightsrv", command)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: `flightsrv {command}` needs the package click, which is not installed: "
        f"pip install 'flightsrv[{extra}]'\n"
    )


def without(modules: list[str], program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program as if some modules were not installed."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); "
    return subprocess.run([sys.executable, "-c", hide + program], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["serve", "--lake", "s3://bucket/lake", "--db", "sqlite://", "--port", "0"], "s3fs", "s3"),
        (["serve", "--db", "postgresql://localhost/lake", "--port", "0"], "psycopg", "postgres"),
        (["gateway", "--http-port", "0"], "uvicorn", "gateway"),
        (["processes"], "pyarrow", "client"),
    ],
)
def test_a_command_without_one_package_names_its_extra(
    arguments: list[str], missing: str, extra: str, tmp_path: Path
) -> None:
    """Also where it is a library that looks for it."""
    if arguments[0] == "serve" and "--lake" not in arguments:
        arguments = [*arguments, "--lake", str(tmp_path / "lake")]
    done = without([missing], f"from flightsrv.__main__ import main; sys.argv[1:] = {arguments!r}; main()")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: `flightsrv {arguments[0]}` needs the package {missing}, which is not installed: "
        f"pip install 'flightsrv[{extra}]'\n"
    )


@pytest.mark.parametrize(
    ("hidden", "modules"),
    [
        (OF_SERVER, ["flightsrv.gateway.lifecycle", "flightsrv.gateway.app"]),
        (OF_SERVER + OF_GATEWAY, ["flightsrv.client", "flightsrv.client.traces", "flightsrv.importers.chrome"]),
    ],
)
def test_an_extra_brings_what_its_part_imports(hidden: list[str], modules: list[str]) -> None:
    """A gateway does without what a server needs, and a client without both."""
    done = without([*hidden, "viztracer", "pandas"], f"import {', '.join(modules)}")
    assert done.returncode == 0, done.stderr


def test_every_command_is_documented() -> None:
    """In the table of commands."""
    text = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    listed = re.findall(r"`flightsrv ([a-z-]+)", "\n".join(re.findall(r"^\| `flightsrv .*", text, re.MULTILINE)))
    assert set(listed) == set(main.commands)


@pytest.mark.slow
def test_the_archives_are_whole(source: Path, wheel: Path) -> None:
    """They have the license, the page and the compiled messages, and an sdist makes the same wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        told = archive.read(metadata).decode()
        entry_points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert not re.findall(r"^Requires-Dist: (?!.*extra ==).*$", told, re.MULTILINE)
    assert "License-Expression: Apache-2.0" in told
    assert "[pytest11]\nflightsrv = flightsrv.pytest_plugin\n" in entry_points
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"flightsrv/gateway/page/index.html", "flightsrv/wire/flight_sql.fds", "flightsrv/py.typed"} <= names
    assert {f"{name}.pyi" for name in ("flightsrv/wire/flight_sql_pb2", "udtf/perfetto/perfetto_trace_pb2")} <= names
    assert {
        path.relative_to(ROOT).as_posix() for name in ("flightsrv", "udtf") for path in ROOT.glob(f"{name}/**/*.py")
    } <= names
    unpacked = source / "unpacked"
    shutil.unpack_archive(build(source, "sdist"), unpacked)
    (folder,) = unpacked.iterdir()
    with zipfile.ZipFile(build(folder, "wheel")) as again:
        assert set(again.namelist()) == names


@pytest.fixture
def installation() -> Iterator[Path]:
    """A copy of the package that only root can write to, below a folder that all may enter."""
    if os.getuid() != 0:
        pytest.skip("needs to be root, to become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for package in ("flightsrv", "udtf"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for writable in ("tmp", "lake"):
            (folder / writable).mkdir()
            os.chown(folder / writable, NOBODY, NOBODY)
        yield folder


def run_as_nobody(installation: Path, command: list[str], **variables: str) -> "subprocess.Popen[str]":
    """A command of the installation, by a user without a home; what it says is in the file `log` there."""
    fixed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installation), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**fixed, "TMPDIR": str(installation / "tmp"), **variables}
    with (installation / "log").open("wb") as log:
        return subprocess.Popen(
            [*AS_NOBODY, sys.executable, "-m", "flightsrv", *command],
            env=environment,
            cwd=installation,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def log_of_server(installation: Path, **variables: str) -> str:
    """Start a server, have it answer a statement in a worker, stop it."""
    serve = ["serve", "--lake", str(installation / "lake"), "--port", "0"]
    with run_as_nobody(installation, serve, **variables) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if line:
            with connect(line.removeprefix("listening on ").strip()) as client:
                assert client.query("SELECT count(*) AS n FROM processes")["n"].to_pylist() == [0]
            server.terminate()
    told = (installation / "log").read_text()
    assert line, told
    return told


@pytest.mark.slow
def test_an_unprivileged_user_without_a_home_starts_a_server(installation: Path) -> None:
    """Where it cannot write to the package; what was compiled before, it does not compile again."""
    with run_as_nobody(installation, ["warm-up"]) as warm_up:
        said, _ = warm_up.communicate()
    kernels = installation / "tmp" / f"flightsrv-kernels-{NOBODY}"
    assert said.count("compiling kernels for this machine") == 1, (installation / "log").read_text()
    assert f"kernels are in {kernels}" in said

    for compiled in kernels.glob("*/ranges.*"):
        compiled.unlink()
    assert log_of_server(installation).count("compiling kernels for this machine") == 1

    ready = kernels.rename(installation / "kernels")
    names = sorted(file.relative_to(ready) for file in ready.rglob("*.nbi"))
    shutil.chown(ready, 0, 0)
    for folder in ready.iterdir():
        shutil.chown(folder, 0, 0)
    assert "compiling kernels" not in log_of_server(installation, NUMBA_CACHE_DIR=str(ready))
    assert sorted(file.relative_to(kernels) for file in kernels.rglob("*.nbi")) == names
