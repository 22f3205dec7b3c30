"""What other sites' pages can make of a gateway that only this machine reaches: nothing."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Page, expect
from prometheus_client.parser import text_string_to_metric_families

from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from tests.client.fake_server import Chunk
from tests.gateway.browser import Browse
from tests.gateway.conftest import Scripted
from tests.gateway.http import ask


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "192.168.1.7", "[::1]:8080", "localhost:99", "LOCALHOST", "a.localhost."]
)
def test_an_address_or_localhost_is_nobody_elses(gateway: RunningGateway, host: str) -> None:
    """No name server says where they lead."""
    assert ask(f"{gateway.url}/api/processes", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil", "[::1", ""]
)
def test_any_other_name_may_have_been_pointed_here(gateway: RunningGateway, host: str) -> None:
    """By its owner, whose page would then read what is answered."""
    for path in ("/", "/api/processes", "/page/main.js", "/nothing"):
        answer = ask(gateway.url + path, headers={"Host": host})
        assert (answer.status, answer.json["type"]) == (421, "error")


def test_names_can_be_given() -> None:
    """Those of a proxy; no others then, wherever the gateway listens."""
    with running_gateway(
        "grpc://127.0.0.1:1", GatewaySettings("0.0.0.0", 0, host_names=("Traces.example",))
    ) as gateway:
        url = gateway.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(f"{url}/health", headers={"Host": "traces.example"}).status == 200
        assert ask(f"{url}/health", headers={"Host": "evil.example"}).status == 421
        assert ask(f"{url}/health").status == 200


def test_any_name_will_do_where_others_reach_the_gateway() -> None:
    """Unless names are given: it cannot know its own."""
    with running_gateway("grpc://127.0.0.1:1", GatewaySettings("0.0.0.0", 0)) as gateway:
        url = gateway.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(f"{url}/health", headers={"Host": "traces.example"}).status == 200


@pytest.mark.browser
def test_a_name_that_was_pointed_here_reads_nothing(gateway: RunningGateway, browse: Browse) -> None:
    """In a browser whose name server says that it is this machine."""

    def steps(page: Page) -> None:
        answer = page.goto(gateway.url.replace("127.0.0.1", "evil.example"))
        assert answer is not None
        assert answer.status == 421
        expect(page.locator("body")).to_contain_text("the host name 'evil.example:")

    browse(steps, "--host-resolver-rules=MAP evil.example 127.0.0.1")


HOSTILE_PAGE = """<!doctype html>
<script>window.stolen = [];</script>
<img src="{url}/api/perfetto/some/trace?span_types=thread">
<script src="{url}/api/processes"></script>
<iframe src="{url}/api/perfetto/some/trace?span_types=async"></iframe>
<iframe name="target"></iframe>
<form method="post" enctype="text/plain" target="target" action="{url}/api/perfetto/some/generate">
  <input name='{{"x":"' value='"}}'>
</form>
<script>
  document.forms[0].submit();
  for (const mode of ["cors", "no-cors"]) {{
    fetch("{url}/api/processes", {{ mode }}).then((answer) => stolen.push(answer.status), () => {{}});
    fetch("{url}/api/perfetto/some/generate", {{ mode, method: "POST", body: "{{}}" }}).catch(() => {{}});
  }}
</script>
<a href="{url}/health">a link</a>
"""
GETS, POSTS = 5, 3
"""So many times the page asks, the link apart."""


def requests(gateway_url: str) -> dict[tuple[str, str], float]:
    """How many requests a gateway has answered, by method and status."""
    counted = ask(f"{gateway_url}/metrics").body.decode()
    [family] = [
        family for family in text_string_to_metric_families(counted) if family.name == "flightsrv_http_requests"
    ]
    return {
        (sample.labels["method"], sample.labels["status"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.fixture
def other_site(scripted: Scripted) -> Iterator[tuple[str, str, list[str]]]:
    """The address of somebody else's page, that of the gateway it is after, and the queries that come through."""
    fake, gateway = scripted(Chunk(0, b"trace"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = HOSTILE_PAGE.format(url=gateway.url).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}/", gateway.url, fake.queries
        site.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_sites_page_starts_nothing(other_site: tuple[str, str, list[str]], browse: Browse, host: str) -> None:
    """Neither from another port of this machine nor from elsewhere; its links lead here all the same."""
    site, gateway_url, queries = other_site

    def steps(page: Page) -> None:
        page.goto(site.replace("127.0.0.1", host))
        page.wait_for_load_state("networkidle")
        assert page.evaluate("() => stolen.filter(Boolean)") == []
        assert requests(gateway_url) == {("GET", "403"): GETS, ("POST", "403"): POSTS}
        page.get_by_role("link").click()
        expect(page.locator("body")).to_have_text('{"status":"ok"}')

    browse(steps)
    assert queries == []
