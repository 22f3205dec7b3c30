"""What the README shows works as it is written there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.client import QueryClient, connect
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.server.lifecycle import running_server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
README_URL = "grpc://127.0.0.1:50051"
README_PAGE_URL = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def is_typed_by_a_visitor(block: str) -> bool:
    """Make and the server do more than a test should, and have tests of their own."""
    return "make " not in block and "flightsrv serve" not in block


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(str(tmp_path_factory.mktemp("lake"))) as server:
        yield server.url


@pytest.fixture(scope="module")
def shell(url: str, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, dict[str, str]]":
    """A folder with the examples, and an environment like that of somebody in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return folder, {**os.environ, "PATH": path, "FLIGHTSRV_URL": url}


@pytest.fixture(scope="module")
def process_id(shell: "tuple[Path, dict[str, str]]") -> str:
    """The process that the example has recorded."""
    folder, environment = shell
    return subprocess.run(
        [sys.executable, "examples/words.py"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.fixture
def client(url: str) -> Iterator[QueryClient]:
    with connect(url) as client:
        yield client


@pytest.fixture(scope="module")
def page_url(url: str) -> Iterator[str]:
    with running_gateway(url, GatewaySettings(port=0)) as gateway:
        yield gateway.url


@pytest.mark.slow
@pytest.mark.parametrize("block", list(filter(is_typed_by_a_visitor, blocks("sh"))))
def test_what_it_says_to_type(block: str, shell: "tuple[Path, dict[str, str]]", process_id: str, page_url: str) -> None:
    """Beside a running server, and after the first run, it writes the traces that it names."""
    if "curl" in block and shutil.which("curl") is None:
        pytest.skip("needs curl")
    folder, environment = shell
    typed = block.replace(README_PAGE_URL, page_url)
    environment = {**environment, "process_id": process_id}
    subprocess.run(["bash", "-euc", typed], cwd=folder, env=environment, check=True, timeout=120)
    outputs = re.findall(r"-o (\S+\.pftrace)", block)
    assert outputs
    assert all((folder / output).stat().st_size > 0 for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("statement", blocks("sql"))
def test_statements(statement: str, client: QueryClient, process_id: str) -> None:
    """Each statement answers with rows."""
    streams = client.query("SELECT stream_id, tags FROM streams WHERE process_id = $1", [process_id]).to_pylist()
    thread = next(stream["stream_id"] for stream in streams if "thread" in stream["tags"])
    answer = client.query(statement.replace("<process_id>", process_id).replace("<stream_id>", thread))
    assert answer.num_rows > 0


@pytest.mark.slow
@pytest.mark.parametrize("source", blocks("python"))
def test_python(source: str, url: str, process_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example in Python runs."""
    assert README_URL in source
    monkeypatch.chdir(tmp_path)
    exec(source.replace(README_URL, url).replace("<process_id>", process_id), {"__name__": "readme"})


def test_the_link_of_every_section_leads_somewhere() -> None:
    """The table of contents names sections that there are."""
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", README, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", README)) <= sections


def test_the_files_it_names_exist() -> None:
    """Every path of this repository that the README names is there."""
    named = set(re.findall(r"`((?:flightsrv|udtf|proto|tests|benchmarks|examples)/[\w/.]*)`", README))
    generated = {"benchmarks/out/latest.json"}
    assert len(named) > 10
    assert [path for path in sorted(named - generated) if not (ROOT / path).exists()] == []
