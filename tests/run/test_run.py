"""`flightsrv run`: programs behave as they do without it, and what they do is recorded."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.client import QueryClient, connect
from tests.support.pythons import newer_pythons
from tests.support.trace_processor import TraceProcessor
from tests.tracing.servers import TracingServer, tracing_server

RUN = [sys.executable, "-m", "flightsrv", "run"]
PROGRAM = """
import os, sys
from helpers import shout

def work(texts):
    return [shout(text) for text in texts]

print(work(sys.argv[1:]), flush=True)
"""
HELPERS = """
def shout(text):
    return text.upper()
"""
TELLING = """
import __main__, os, sys
print(sys.argv, sys.path, __name__, __file__, __package__, __spec__ and __spec__.name, __main__.__file__)
print(sorted(name for name in dir() if not name.startswith("__")), "sitecustomize" in os.environ.get("PYTHONPATH", ""))
print({name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "FLIGHTSRV_RUN"))}, sys.flags)
"""
PROGRAMS = {
    "telling": TELLING,
    "exit code": "import sys; sys.exit(3)",
    "exit message": "import sys; sys.exit('no more')",
    "exception": "def fail():\n    raise ValueError('odd')\nfail()",
    "no syntax": "def (",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "input": "print(input().upper())",
    "pickle": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)",
    "late": "import atexit, threading, time\natexit.register(lambda: print('at exit'))\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()",
    "pool": "import multiprocessing\ndef double(n): return 2 * n\nif __name__ == '__main__':\n"
    "    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(double, [1, 2]))",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracingServer]:
    with tracing_server(str(tmp_path_factory.mktemp("run") / "lake")) as running:
        yield running


@pytest.fixture
def client(server: TracingServer) -> Iterator[QueryClient]:
    with connect(server.url) as connected:
        yield connected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a program of two modules."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "helpers.py").write_text(HELPERS)
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        input="some input\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def as_with_python(folder: Path, target: str, *arguments: str, **variables: str) -> None:
    """Check that a program says and does the same with tracing, whose own lines are left out."""
    plain = run(folder, sys.executable, *arguments, **variables)
    traced = run(folder, *RUN, "--to", target, *arguments, **variables)
    said = "".join(line for line in traced.stderr.splitlines(True) if not line.startswith("flightsrv run: "))
    assert (traced.stdout, said, traced.returncode) == (plain.stdout, plain.stderr, plain.returncode)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_script_is_run_as_by_python(name: str, server: TracingServer, tmp_path: Path) -> None:
    """Arguments, paths, output, input, exit code, exceptions, signals, children."""
    (tmp_path / "program.py").write_text(PROGRAMS[name])
    as_with_python(tmp_path, server.http_url, "program.py", "one", "--to", "-m", "two")


def test_modules_and_packages_are_run_as_by_python(server: TracingServer, tmp_path: Path) -> None:
    """What follows `-m NAME` is for the program; what is not there is told by Python."""
    package = tmp_path / "package"
    package.mkdir()
    for name, text in (("__init__", ""), ("__main__", TELLING), ("part", TELLING)):
        (package / f"{name}.py").write_text(text)
    for arguments in (["-m", "package.part", "-m", "--x"], ["-m", "package"], ["-m", "nothing"], ["nothing.py"]):
        as_with_python(tmp_path, server.http_url, *arguments)


def test_a_program_keeps_its_own_start(server: TracingServer, folder: Path) -> None:
    """A `sitecustomize` and a PYTHONPATH that it has anyway."""
    own = folder / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys; sys.own_start = __file__")
    (folder / "telling.py").write_text(TELLING + "print(sys.own_start)")
    as_with_python(folder, server.http_url, "telling.py", PYTHONPATH=str(own))


def names_of(client: QueryClient, process_id: str) -> list[str]:
    spans = client.query("SELECT name FROM process_spans($1, 'thread') ORDER BY begin, depth", [process_id])
    return spans["name"].to_pylist()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["<module>", "work"]),
        (["--modules", "help*"], ["<module>", "shout", "shout"]),
        (["--modules", "__main__", "--modules", "helpers"], ["<module>", "<module>", "work", "shout", "shout"]),
    ],
)
def test_calls_are_sent_to_a_server(
    options: list[str], names: list[str], folder: Path, server: TracingServer, client: QueryClient
) -> None:
    """Those of the program itself, or of modules that are chosen; a comprehension is a call until Python 3.11."""
    (folder / "program.py").write_text(PROGRAM + "print(os.environ['FLIGHTSRV_PROCESS_ID'])")
    done = run(folder, *RUN, "--to", server.http_url, *options, "program.py", "a", "b")
    assert done.returncode == 0, done.stderr
    output, process_id = done.stdout.splitlines()
    assert output == "['A', 'B']"
    assert [name for name in names_of(client, process_id) if "<listcomp>" not in name] == names


def test_every_call_is_every_call(folder: Path, server: TracingServer, client: QueryClient) -> None:
    """Also those of the standard library, whose functions a program calls."""
    text = "import json, os\njson.dumps([1], indent=1)\nprint(os.environ['FLIGHTSRV_PROCESS_ID'])"
    (folder / "program.py").write_text(text)
    done = run(folder, *RUN, "--to", server.http_url, "--every-call", "program.py")
    assert {"<module>", "dumps", "JSONEncoder.encode"} <= set(names_of(client, done.stdout.strip())), done.stderr


FORKING = (
    """
import os, sys
def in_child(): pass
def in_parent(): pass
child = os.fork()
if child == 0:
    in_child()
    sys.exit()
os.waitpid(child, 0)
in_parent()
"""
    + "exec(sys.argv[1])"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "exit_code"),
    [
        ("", 0),
        ("sys.exit(7)", 7),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM),
        ("from flightsrv import tracing; tracing.flush(); os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_a_trace_is_written_at_the_end(
    end: str, exit_code: int, tmp_path: Path, trace_processor: TraceProcessor
) -> None:
    """Of the program and its children, however it ends; the end is that of the program."""
    (tmp_path / "program.py").write_text(FORKING)
    done = run(tmp_path, *RUN, "program.py", end)
    assert done.returncode == exit_code, done.stderr
    loaded = trace_processor.load((tmp_path / "program.pftrace").read_bytes())
    assert loaded.errors() == []
    assert {"<module>", "in_child", "in_parent"} <= {piece.name for piece in loaded.slices()}
    assert len({piece.process_id for piece in loaded.slices()}) == 2
    assert "flightsrv run: wrote program.pftrace: " in done.stderr
    assert "spans of 2 processes; open https://ui.perfetto.dev" in done.stderr


@pytest.mark.slow
def test_signals_go_to_the_program(tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """And a trace is written all the same."""
    text = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: exit(5))\nprint('ready', flush=True)\n"
        "while True: time.sleep(0.05)"
    )
    (tmp_path / "program.py").write_text(text)
    command = [*RUN, "--to", "ended.pftrace", "program.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(120) == 5
    loaded = trace_processor.load((tmp_path / "ended.pftrace").read_bytes())
    assert "<module>" in {piece.name for piece in loaded.slices()}


@pytest.mark.slow
def test_ctrl_c_ends_the_program_and_not_its_trace(tmp_path: Path, trace_processor: TraceProcessor) -> None:
    """The terminal sends it to both, and the program gets it once."""
    text = (
        "import time\ntry:\n  print('ready', flush=True); time.sleep(600)\nexcept KeyboardInterrupt:\n  print('once')\n"
    )
    (tmp_path / "program.py").write_text(text + "time.sleep(1); raise KeyboardInterrupt")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(RUN[0], [*RUN, "program.py"])
    said = b""
    with open(terminal, "r+b", buffering=0) as screen, contextlib.suppress(OSError):
        while piece := screen.read(1000):
            said += piece
            if b"ready" in said and b"^C" not in said:
                screen.write(b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGINT, said
    assert said.count(b"once") == 1
    loaded = trace_processor.load((tmp_path / "program.pftrace").read_bytes())
    assert "<module>" in {piece.name for piece in loaded.slices()}


@pytest.mark.slow
def test_a_lake_keeps_what_was_recorded(folder: Path) -> None:
    """To be served later, with what is in it already."""
    for _ in range(2):
        done = run(folder, *RUN, "--to", "lake", "program.py", "a")
        assert (done.returncode, done.stdout) == (0, "['A']\n"), done.stderr
    with tracing_server(str(folder / "lake")) as server, connect(server.url) as client:
        process_ids = client.processes()["process_id"].to_pylist()
        assert len(process_ids) == 2
        assert [names_of(client, process_id)[:2] for process_id in process_ids] == [["<module>", "work"]] * 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["--to", "http://", "program.py"], 1, "Error: url 'http://': expected http://HOST:PORT"),
        (["--to", "nowhere/x.pftrace", "program.py"], 1, "nowhere/x.pftrace"),
        ([], 2, "no program was given"),
        (["--modules"], 2, "--modules"),
        (["--fast", "program.py"], 2, "no such option: --fast"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], exit_code: int, told: str, folder: Path) -> None:
    """Before the program is run."""
    done = run(folder, *RUN, *arguments)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


COUNTED = """
from flightsrv import tracing
from flightsrv.tracing import modules

class Sink:
    def send(self, uploads): pass
    def close(self): pass

def function():
    pass

def generator():
    yield

nb_events = 0

def active(original=modules.active):
    global nb_events
    nb_events += 1
    return original()

modules.active = active
for pattern in ("app.*", "__main__"):
    nb_events = 0
    with tracing.start(sink=Sink), tracing.trace_modules(pattern):
        for _ in range(1000):
            function()
            list(generator())
    print(nb_events)
"""


def test_calls_of_other_modules_are_seen_once_from_python_3_12_on(tmp_path: Path) -> None:
    """Their events are switched off: later calls cost nothing."""
    pythons = newer_pythons()
    if not pythons:
        pytest.skip("there is no Python from 3.12 on")
    (tmp_path / "program.py").write_text(COUNTED)
    for python in pythons:
        done = run(tmp_path, str(python), "program.py", PYTHONPATH=str(Path(__file__).parents[2]))
        assert done.returncode == 0, (python, done.stderr)
        of_others, of_chosen = map(int, done.stdout.split())
        assert of_others < 500 < 6000 <= of_chosen, python


@pytest.mark.parametrize("name", ["telling", "exception", "late"])
def test_newer_pythons_run_programs_as_they_are(name: str, server: TracingServer, tmp_path: Path) -> None:
    """With nothing but the package."""
    pythons = newer_pythons()
    if not pythons:
        pytest.skip("there is no Python from 3.12 on")
    (tmp_path / "program.py").write_text(PROGRAMS[name])
    for python in pythons:
        plain = run(tmp_path, str(python), "program.py", PYTHONPATH=str(Path(__file__).parents[2]))
        command = ["-m", "flightsrv", "run", "--to", server.http_url, "program.py"]
        traced = run(tmp_path, str(python), *command, PYTHONPATH=str(Path(__file__).parents[2]))
        assert (traced.stdout, traced.stderr, traced.returncode) == (plain.stdout, plain.stderr, plain.returncode)
