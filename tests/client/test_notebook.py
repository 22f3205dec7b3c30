"""The links of a trace in a notebook, in a real browser."""

import gzip

import pytest
from playwright.sync_api import Page

from flightsrv.client import QueryClient
from tests.gateway.browser import Browse, browse

__all__ = ["browse"]

pytestmark = pytest.mark.browser

NOTEBOOK = "http://notebook.example/"

PERFETTO = """<!doctype html><script>
    let asked = 0;
    addEventListener("message", async ({ data, source, origin }) => {
        // It is slow to load: the first questions are not heard.
        if (data === "PING") { if (++asked > 3) source.postMessage("PONG", origin); return; }
        const unpacked = new Blob([data.perfetto.buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
        window.got = [...new Uint8Array(await new Response(unpacked).arrayBuffer())];
    });
</script>"""
"""What the Perfetto UI does with messages, as far as this is about them."""


def test_the_links_open_and_save_the_trace(client: QueryClient, process_id: str, browse: Browse) -> None:
    """Of each of two cells its own, compressed."""
    cells = [client.trace(process_id), client.trace(process_id, end="1970-01-01T00:00:01.5Z")]
    assert cells[0] != cells[1]

    def steps(page: Page) -> None:
        page.context.route(
            "https://ui.perfetto.dev/**", lambda route: route.fulfill(body=PERFETTO, content_type="text/html")
        )
        body = "".join(cell._repr_html_() for cell in cells)
        page.route(NOTEBOOK, lambda route: route.fulfill(body=f"<!doctype html>{body}", content_type="text/html"))
        page.goto(NOTEBOOK)
        for number, cell in enumerate(cells):
            with page.expect_popup() as popup:
                page.get_by_role("link", name="open in perfetto").nth(number).click()
            popup.value.wait_for_function("() => window.got")
            assert bytes(popup.value.evaluate("() => window.got")) == cell
            with page.expect_download() as download:
                page.get_by_role("link", name="download").nth(number).click()
            assert download.value.suggested_filename == "trace.pftrace.gz"
            assert gzip.decompress(download.value.path().read_bytes()) == cell
        assert page.url == NOTEBOOK

    browse(steps)
