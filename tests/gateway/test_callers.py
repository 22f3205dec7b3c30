"""Whose credentials a request goes on with."""

import pytest
from pyarrow import flight

from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from tests.client.fake_server import Chunk, Failure, serving
from tests.gateway.conftest import Scripted
from tests.gateway.http import ask


def test_the_callers_own_credentials_go_on_to_the_server() -> None:
    """Those of the gateway only where the caller shows none."""
    with (
        serving(Chunk(0, b"trace")) as fake,
        running_gateway(fake.url, GatewaySettings(port=0, token="of-the-gateway")) as gateway,
    ):
        url = f"{gateway.url}/api/perfetto/some/trace"
        assert ask(url, headers={"Authorization": "Basic YWRhOnNlY3JldA=="}).body == b"trace"
        assert ask(url).body == b"trace"
        assert [headers["authorization"] for headers in fake.headers] == [
            *[["Basic YWRhOnNlY3JldA=="]] * 2,
            *[["Bearer of-the-gateway"]] * 2,
        ]


def test_a_server_that_asks_who_calls_makes_the_browser_ask(scripted: Scripted) -> None:
    """With the status and the header that it knows, and the server is ready all the same."""
    _, gateway = scripted(Failure(flight.FlightUnauthenticatedError("this server requires a token")))
    answer = ask(f"{gateway.url}/api/perfetto/some/trace")
    assert (answer.status, answer.json["message"]) == (401, "this server requires a token")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert ask(f"{gateway.url}/ready").status == 200


def test_what_the_caller_may_not_do_is_forbidden(scripted: Scripted) -> None:
    """To ask again would be of no use."""
    _, gateway = scripted(Failure(flight.FlightUnauthorizedError("not for you")))
    answer = ask(f"{gateway.url}/api/perfetto/some/generate", "POST", {})
    assert (answer.status, answer.json["message"]) == (403, "not for you")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("credentials", ["Basic \xe4", "", "Bearer " + "x" * 10_000])
def test_credentials_that_no_server_takes_are_refused(scripted: Scripted, credentials: str) -> None:
    """Before anybody is asked."""
    fake, gateway = scripted(Chunk(0, b"trace"))
    answer = ask(f"{gateway.url}/api/perfetto/some/trace", headers={"Authorization": credentials})
    assert answer.status == 422
    assert answer.json["message"].startswith("header.authorization: ")
    assert "x" * 200 not in answer.json["message"]
    assert fake.queries == []
