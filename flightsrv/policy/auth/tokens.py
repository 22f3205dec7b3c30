"""Tokens, by which a server knows its callers: made at random, kept as hashes in a file.

The file is JSON, and only its owner may read it:

    {"tokens": [{"name": "grafana", "sha256": "9f86...", "roles": ["reader"], "processes": null}]}

A token has 256 random bits, so a plain hash of it tells nothing and needs neither salt nor work.
"""

import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flightsrv.policy.auth.principal import Principal, Role
from udtf.errors import InvalidArgument

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How soon a server learns of a change of its tokens."""

PREFIX = "flightsrv_"
"""How tokens begin, so that scanners for secrets know them."""


@dataclass(frozen=True)
class TokenEntry:
    """What is kept of a token."""

    principal: Principal
    sha256: str


class Tokens:
    """The tokens of a server. They never change: `with_new` and `without` make others."""

    def __init__(self, entries: Sequence[TokenEntry] = ()) -> None:
        self.entries = tuple(entries)

    def find(self, token: str) -> Principal | None:
        """Whose token it is. Takes the same time whether it is one, and whichever it is."""
        digest = _sha256(token)
        found = [
            entry.principal for entry in self.entries if hmac.compare_digest(entry.sha256.encode(), digest.encode())
        ]
        return found[0] if found else None

    def with_new(self, principal: Principal) -> tuple["Tokens", str]:
        """These tokens and a new one, and the new one itself, which cannot be found out later.

        Raises:
            InvalidArgument: the name is taken or empty, there is no role, or an administrator is limited.
        """
        if not principal.name or not principal.roles:
            raise InvalidArgument("a token needs a name and a role")
        if any(entry.principal.name == principal.name for entry in self.entries):
            raise InvalidArgument(f"there is a token named {principal.name!r} already")
        if ":" in principal.name:
            raise InvalidArgument(f"the name of a token has no colon, given: {principal.name!r}")
        if Role.ADMIN in principal.roles and principal.visible_processes is not None:
            raise InvalidArgument("an administrator sees all processes; give the role reader or writer")
        token = PREFIX + secrets.token_urlsafe(32)
        return Tokens([*self.entries, TokenEntry(principal, _sha256(token))]), token

    def without(self, name: str) -> "Tokens":
        """These tokens without the one of a name.

        Raises:
            InvalidArgument: there is none.
        """
        left = [entry for entry in self.entries if entry.principal.name != name]
        if len(left) == len(self.entries):
            raise InvalidArgument(f"there is no token named {name!r}")
        return Tokens(left)


class TokenFile:
    """The tokens in a file, as it is now: a server that runs learns of new ones, and of those that were removed.

    Where the file cannot be read any more, the tokens that were in it last stay good, and the log says so. Safe to use
    from many threads.
    """

    def __init__(self, path: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidArgument: the file is not there, or is not as it should be."""
        self._path = path
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._looked_s = clock_s()
        self._state = _state_of(path)
        self._tokens = read_tokens(path)

    def find(self, token: str) -> Principal | None:
        """Whose token it is; as `Tokens.find`."""
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._looked_s >= LOOK_SECONDS:
                self._looked_s = now_s
                self._look()
            tokens = self._tokens
        return tokens.find(token)

    def _look(self) -> None:
        state = _state_of(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._tokens = read_tokens(self._path)
        except InvalidArgument as error:
            log.error("tokens stay as they were: %s", error)
        else:
            log.info("read %d tokens anew", len(self._tokens.entries))


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read_tokens(path: Path) -> Tokens:
    """The tokens in a file.

    Raises:
        InvalidArgument: the file is not there, or is not as it should be.
    """
    try:
        entries = [_entry(record) for record in json.loads(path.read_text(encoding="utf-8"))["tokens"]]
    except OSError as error:
        raise InvalidArgument(f"the tokens in {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{path} is no file of tokens; `flightsrv token add` makes one") from error
    return Tokens(entries)


@contextmanager
def tokens_locked(path: Path) -> Iterator[None]:
    """For the length of a `with` block, only this one of all programs changes the tokens in a file: they are to be read
    and written within it. The lock is on the folder, as the file itself is replaced.

    Raises:
        OSError: there is no such folder, or it cannot be locked.
    """
    descriptor = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_tokens(tokens: Tokens, path: Path) -> None:
    """Put tokens into a file, in place of those that are in it: all, or none if that fails; durably.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    text = json.dumps({"tokens": [_record(entry) for entry in tokens.entries]}, indent=2)
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _record(entry: TokenEntry) -> dict[str, Any]:
    principal = entry.principal
    processes = principal.visible_processes
    return {
        "name": principal.name,
        "sha256": entry.sha256,
        "roles": sorted(principal.roles),
        "processes": None if processes is None else sorted(processes),
    }


def _entry(record: dict[str, Any]) -> TokenEntry:
    processes = record["processes"]
    if not isinstance(record["sha256"], str) or not isinstance(processes, list | None):
        raise TypeError("neither a hash nor processes")
    principal = Principal(
        str(record["name"]),
        frozenset(map(Role, record["roles"])),
        None if processes is None else frozenset(map(str, processes)),
    )
    return TokenEntry(principal, record["sha256"])
