"""Files of tokens."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.auth.tokens import LOOK_SECONDS, TokenFile, Tokens, read_tokens, write_tokens
from udtf.errors import InvalidArgument

READER = Principal("grafana", frozenset({Role.READER}), frozenset({"p1", "p2"}))
ADMIN = Principal("ops", frozenset({Role.ADMIN}))


def test_a_file_holds_hashes_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Whoever gets hold of the file has no token."""
    path = tmp_path / "tokens.json"
    tokens, made = Tokens().with_new(READER)
    write_tokens(tokens, path)
    assert made not in path.read_text()
    assert made.removeprefix("flightsrv_") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Owners with all that they may do, found by the tokens that they were given."""
    path = tmp_path / "tokens.json"
    tokens, first = Tokens().with_new(READER)
    tokens, second = tokens.with_new(ADMIN)
    write_tokens(tokens, path)
    read = read_tokens(path)
    assert read.find(first) == READER
    assert read.find(second) == ADMIN
    assert read.find(first + "x") is None
    assert read.find("") is None


def test_a_removed_token_is_good_for_nothing() -> None:
    """The others stay."""
    tokens, first = Tokens().with_new(READER)
    tokens, second = tokens.with_new(ADMIN)
    left = tokens.without("grafana")
    assert left.find(first) is None
    assert left.find(second) == ADMIN
    with pytest.raises(InvalidArgument, match="there is no token named 'grafana'"):
        left.without("grafana")


@pytest.mark.parametrize(
    ("principal", "reason"),
    [
        (READER, "there is a token named 'grafana' already"),
        (Principal("", frozenset({Role.READER})), "a token needs a name and a role"),
        (Principal("x", frozenset()), "a token needs a name and a role"),
        (Principal("a:b", frozenset({Role.READER})), "has no colon"),
        (Principal("x", frozenset({Role.ADMIN}), frozenset({"p1"})), "an administrator sees all processes"),
    ],
)
def test_tokens_that_make_no_sense_are_not_made(principal: Principal, reason: str) -> None:
    """The message says why."""
    tokens, _ = Tokens().with_new(READER)
    with pytest.raises(InvalidArgument, match=reason):
        tokens.with_new(principal)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({"tokens": [{"name": "x"}]}),
        json.dumps({"tokens": [{"name": "x", "sha256": "00", "roles": ["king"], "processes": None}]}),
        json.dumps({"tokens": [{"name": "x", "sha256": "00", "roles": ["reader"], "processes": "p1"}]}),
    ],
)
def test_other_files_are_no_files_of_tokens(text: str, tmp_path: Path) -> None:
    """A server does not start with half of what its owner meant."""
    path = tmp_path / "tokens.json"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match="is no file of tokens"):
        read_tokens(path)
    with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
        read_tokens(tmp_path / "other.json")


class Clock:
    """Goes on when a test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def go_on(self) -> None:
        self.now_s += LOOK_SECONDS


def test_changes_of_the_file_hold_while_a_server_runs(tmp_path: Path) -> None:
    """A token that is removed is good no more; the others are as long as the file cannot be read."""
    path, clock = tmp_path / "tokens.json", Clock()
    tokens, first = Tokens().with_new(READER)
    write_tokens(tokens, path)
    file = TokenFile(path, clock)
    assert file.find(first) == READER
    other = replace(READER, name="other")
    tokens, second = tokens.with_new(other)
    write_tokens(tokens, path)
    assert file.find(second) is None  # it has not looked yet
    clock.go_on()
    assert (file.find(first), file.find(second)) == (READER, other)
    write_tokens(tokens.without(READER.name), path)
    clock.go_on()
    assert (file.find(first), file.find(second)) == (None, other)
    for spoil in (lambda: path.write_text("{"), path.unlink):
        spoil()
        clock.go_on()
        assert (file.find(first), file.find(second)) == (None, other)
    write_tokens(tokens, path)
    clock.go_on()
    assert (file.find(first), file.find(second)) == (READER, other)
