"""What the README and the documents show works as it is written there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsrv.cli import main
from flightsrv.client import QueryClient, connect
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.server.lifecycle import running_server
from tests.server.clients import PyarrowClient

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
}
README_URL = "grpc://127.0.0.1:50051"
README_PAGE_URL = "http://127.0.0.1:8080"


WITHOUT_A_SERVER = Path("docs/notebook.md")
"""Its script has a test beside those of `udtf.register`."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of all documents in a language, that without a server left out."""
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    documents = (text for path, text in DOCUMENTS.items() if path != WITHOUT_A_SERVER)
    return [block for text in documents for block in fenced.findall(text)]


def is_typed_by_a_visitor(block: str) -> bool:
    """Make and the server do more than a test should, and have tests of their own."""
    return "make " not in block and "flightsrv serve" not in block


def is_of_one_process(statement: str) -> bool:
    """Requests between processes have a test of their own, which runs the statements about them."""
    return not re.search(r"<trace_id>|parent_span_id", statement)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(str(tmp_path_factory.mktemp("lake"))) as server:
        yield server.url


@pytest.fixture(scope="module")
def shell(url: str, page_url: str, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, dict[str, str]]":
    """A folder with the examples, and an environment like that of somebody in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return folder, {**os.environ, "PATH": path, "FLIGHTSRV_URL": url, "FLIGHTSRV_TRACE_TO": page_url}


@pytest.fixture(scope="module")
def process_id(shell: "tuple[Path, dict[str, str]]") -> str:
    """The process that the example has recorded."""
    return printed_by("examples/words.py", shell)


@pytest.fixture(scope="module")
def sender_id(shell: "tuple[Path, dict[str, str]]") -> str:
    """That of another example, which has attributes, a log and counters."""
    return printed_by("examples/sender.py", shell)


def printed_by(example: str, shell: "tuple[Path, dict[str, str]]") -> str:
    folder, environment = shell
    command = [sys.executable, example]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


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
    """Beside a running server, and after the first run, it writes the files that it names."""
    if "curl" in block and shutil.which("curl") is None:
        pytest.skip("needs curl")
    folder, environment = shell
    typed = block.replace(README_PAGE_URL, page_url)
    environment = {**environment, "process_id": process_id}
    subprocess.run(["bash", "-euc", typed], cwd=folder, env=environment, check=True, timeout=120)
    outputs = re.findall(r"-o (\S+)", block)
    assert outputs
    assert all((folder / output).stat().st_size > 0 for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("statement", list(filter(is_of_one_process, blocks("sql"))))
def test_statements(statement: str, url: str, client: QueryClient, process_id: str, sender_id: str) -> None:
    """Each statement answers with rows, and can be prepared."""
    if re.search(r"log_entries|measures|'request'|properties\['(path|error)'\]", statement):
        process_id = sender_id
    streams = client.query("SELECT stream_id, tags FROM streams WHERE process_id = $1", [process_id]).to_pylist()
    thread = next(stream["stream_id"] for stream in streams if "thread" in stream["tags"])
    typed = statement.replace("<process_id>", process_id).replace("<stream_id>", thread)
    typed = typed.replace("INTERVAL '1 minute'", "INTERVAL '1 day'")  # the examples may have run earlier than that
    if "list_partitions" in statement:
        client.query("SELECT count(*) FROM process_spans($1, 'both')", [process_id])  # there are some then
    assert client.query(typed).num_rows > 0
    assert PyarrowClient(url).query(typed).num_rows >= 0


@pytest.mark.slow
@pytest.mark.parametrize("source", blocks("python"))
def test_python(source: str, url: str, page_url: str, process_id: str, tmp_path: Path) -> None:
    """Each example in Python runs, as a program of its own: what it sets up shall not stay."""
    assert README_URL in source or README_PAGE_URL in source or "://" not in source
    typed = source.replace(README_URL, url).replace(README_PAGE_URL, page_url).replace("<process_id>", process_id)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", typed], cwd=tmp_path, env=environment, timeout=120, check=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file that is there, and to a section that it has."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", DOCUMENTS[path])
    for target, section in links:
        found = (ROOT / path.parent / target).resolve() if target else ROOT / path
        assert found.is_file(), target
        if section:
            titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert section in {title.lower().replace(" ", "-") for title in titles}


def test_the_files_that_are_named_exist() -> None:
    """Every path of this repository that a document names is there."""
    named = {
        path
        for document in DOCUMENTS.values()
        for path in re.findall(r"`((?:flightsrv|udtf|proto|tests|benchmarks|examples)/[\w/.]*)`", document)
    }
    generated = {"benchmarks/out/latest.json"}
    assert len(named) > 10
    assert [path for path in sorted(named - generated) if not (ROOT / path).exists()] == []


def test_every_option_is_described() -> None:
    """Those of all commands, by name, in one document or another, but for what our own processes tell each other."""
    text = "\n".join(DOCUMENTS.values())
    options = {
        option
        for command in [main, *main.commands.values()]
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and not getattr(parameter, "hidden", False)
    }
    assert len(options) > 30
    assert [option for option in sorted(options - {"--verbose", "--version"}) if f"`{option}" not in text] == []
