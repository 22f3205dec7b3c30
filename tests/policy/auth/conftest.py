"""A server that asks for tokens, on a lake of two recordings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast, get_args

import pytest

from flightsrv.flight.transports.transport import TransportName
from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.auth.settings import SecuritySettings
from flightsrv.policy.auth.tokens import Tokens
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from tests.server.telemetry import Recording
from udtf.lake.lake import Lake


@dataclass(frozen=True)
class Guarded:
    """A server that asks for tokens.

    Attributes:
        tokens: by name: reader, writer, admin; reader of mine, writer of mine, which know of one process only.
        mine, others: what is recorded: the process that those are limited to, and one that they must not see.
    """

    server: RunningServer
    tokens: dict[str, str]
    mine: Recording
    others: Recording

    @property
    def url(self) -> str:
        return self.server.url


def make_tokens(principals: list[Principal]) -> tuple[Tokens, dict[str, str]]:
    """Tokens for all, and by the names of their owners."""
    tokens, made = Tokens(), {}
    for principal in principals:
        tokens, made[principal.name] = tokens.with_new(principal)
    return tokens, made


@pytest.fixture(scope="session", params=get_args(TransportName))
def transport(request: pytest.FixtureRequest) -> TransportName:
    """Each in turn."""
    return cast(TransportName, request.param)


@pytest.fixture(scope="session")
def guarded(transport: TransportName, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """See `Guarded`."""
    folder = tmp_path_factory.mktemp("guarded") / "lake"
    mine, others = Recording(), Recording()
    lake = Lake.open(str(folder))
    for recording in (mine, others):
        for table, rows in recording.tables().items():
            lake.ingest(table, rows)
    lake.close()
    visible = frozenset({mine.process_id})
    tokens, made = make_tokens(
        [
            Principal("reader", frozenset({Role.READER})),
            Principal("writer", frozenset({Role.WRITER})),
            Principal("admin", frozenset({Role.ADMIN})),
            Principal("reader of mine", frozenset({Role.READER}), visible),
            Principal("writer of mine", frozenset({Role.WRITER}), visible),
        ]
    )
    settings = ServerSettings(transport=transport, security=SecuritySettings(tokens))
    with running_server(str(folder), settings=settings) as server:
        yield Guarded(server, made, mine, others)
