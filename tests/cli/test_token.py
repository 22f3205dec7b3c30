"""`flightsrv token`, and a server that asks for what it made."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flightsrv.policy.auth.tokens import read_tokens
from tests.cli.conftest import FLIGHTSRV, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command line in an empty folder, without a server."""
    return Shell(tmp_path, "grpc://127.0.0.1:1")


def test_tokens_are_made_listed_and_removed(shell: Shell) -> None:
    """Printed once; the list has names and what they are good for."""
    limited = ("--role", "reader", "--role", "writer", "--process", "p2", "--process", "p1")
    [first] = shell.lines("token", "add", "grafana", *limited, "--tokens", "tokens.json")
    [second] = shell.lines("token", "add", "ops", "--role", "admin", "--tokens", "tokens.json")
    assert re.fullmatch(r"flightsrv_[\w-]{43}", first)
    assert first != second
    assert shell.lines("token", "list", "--tokens", "tokens.json") == [
        "grafana\treader writer\tp1 p2",
        "ops\tadmin\tall processes",
    ]
    assert shell.lines("token", "remove", "grafana", "--tokens", "tokens.json") == []
    kept = json.loads((shell.folder / "tokens.json").read_text())
    assert [entry["name"] for entry in kept["tokens"]] == ["ops"]


def test_changes_at_the_same_time_are_all_made(shell: Shell) -> None:
    """Each token that was printed works, and each that was removed does not."""
    old = [shell.lines("token", "add", f"old{n}", "--role", "reader", "--tokens", "tokens.json") for n in range(2)]
    adding = [("add", f"new{n}", "--role", "writer") for n in range(6)]
    removing = [("remove", f"old{n}") for n in range(2)]
    with ThreadPoolExecutor(8) as threads:
        done = threads.map(lambda change: shell.run("token", *change, "--tokens", "tokens.json"), adding + removing)
        printed = [(each.returncode, each.stdout.strip(), each.stderr) for each in done]
    assert [(code, errors) for code, _, errors in printed] == [(0, "")] * 8
    tokens = read_tokens(shell.folder / "tokens.json")
    names = [principal and principal.name for principal in map(tokens.find, [token for _, token, _ in printed[:6]])]
    assert names == [f"new{n}" for n in range(6)]
    assert [tokens.find(token) for (token,) in old] == [None, None]
    assert sorted(path.name for path in shell.folder.iterdir()) == ["tokens.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("token", "add", "x", "--role", "king"), "'king' is not one of 'reader', 'writer', 'admin'"),
        (("token", "add", "x"), "Missing option '--role'"),
        (("token", "add", "x", "--role", "admin", "--process", "p"), "an administrator sees all processes"),
        (("token", "remove", "x"), "cannot be read: No such file or directory"),
        (("token", "list"), "cannot be read: No such file or directory"),
        (("serve", "--lake", "lake", "--tokens", "nowhere.json"), "cannot be read: No such file or directory"),
        (("serve", "--lake", "lake", "--host", "0.0.0.0"), "other machines can reach 0.0.0.0 without authentication"),
        (("serve", "--lake", "lake", "--tls-cert", "cert.pem"), "--tls-cert and --tls-key go together"),
        (("serve", "--lake", "lake", "--tls-client-ca", "ca.pem"), "--tls-client-ca needs both"),
    ],
)
def test_wrong_uses_are_told(arguments: tuple[str, ...], message: str, shell: Shell) -> None:
    """In a line, without a traceback."""
    done = shell.run(*arguments, **({} if "serve" in arguments else {"FLIGHTSRV_SERVE_TOKENS": "nowhere.json"}))
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_asks_for_a_token(shell: Shell) -> None:
    """At an address that others reach, by flags as somebody would type them."""
    [token] = shell.lines("token", "add", "me", "--role", "reader", "--tokens", "tokens.json")
    command = [FLIGHTSRV, "serve", "--lake", "lake", "--host", "0.0.0.0", "--port", "0", "--tokens", "tokens.json"]
    log = shell.folder / "log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.PIPE, stderr=sink, text=True) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip().replace("0.0.0.0", "127.0.0.1")
        refused = shell.run("processes", FLIGHTSRV_URL=url)
        answered = shell.run("processes", "--format", "json", FLIGHTSRV_URL=url, FLIGHTSRV_TOKEN=token)
        process.terminate()
        assert process.wait(60) == 0
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: this server requires a token")
    assert (answered.returncode, json.loads(answered.stdout)) == (0, [])
    assert token not in log.read_text()
