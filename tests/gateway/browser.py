"""The page in a real browser."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from flightsrv.gateway.lifecycle import RunningGateway
from tests.support.debian import program_or_skip

T = TypeVar("T")

WITHIN_MS = 60_000
expect.set_options(timeout=WITHIN_MS)
_ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


class Browse(Protocol):
    """Runs steps on a page of its own, and fails where a script of the page does. With arguments, the browser is a new
    one that is started with these."""

    def __call__(self, steps: Callable[[Page], T], *arguments: str) -> T: ...


class _Browser:
    """A browser, started once for all tests, in a thread of its own: Playwright leaves an event loop behind, where
    nothing else could run one. Each page is in a context of its own, as in a browser that was just started."""

    def __init__(self, chromium: Path) -> None:
        self._chromium = chromium
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._playwright = self._thread.submit(sync_playwright().start).result()
        self._usual: Browser | None = None

    def run(self, steps: Callable[[Page], T], *arguments: str) -> T:
        return self._thread.submit(self._run, steps, arguments).result()

    def close(self) -> None:
        self._thread.submit(self._stop).result()
        self._thread.shutdown()

    def _stop(self) -> None:
        if self._usual is not None:
            self._usual.close()
        self._playwright.stop()

    def _run(self, steps: Callable[[Page], T], arguments: Sequence[str]) -> T:
        if arguments:
            with self._launched(arguments) as browser:
                return _steps_in(browser, steps)
        if self._usual is None or not self._usual.is_connected():
            self._usual = self._launched([])
        return _steps_in(self._usual, steps)

    def _launched(self, arguments: Sequence[str]) -> Browser:
        return self._playwright.chromium.launch(executable_path=self._chromium, args=[*_ARGUMENTS, *arguments])


def _steps_in(browser: Browser, steps: Callable[[Page], T]) -> T:
    with browser.new_context(viewport={"width": 1100, "height": 700}, accept_downloads=True) as context:
        context.set_default_timeout(WITHIN_MS)
        page = context.new_page()
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        result = steps(page)
        assert failures == []
        return result


@pytest.fixture(scope="session")
def browse() -> Iterator[Browse]:
    """A browser, if there is one on this machine."""
    browser = _Browser(program_or_skip("chromium"))
    try:
        yield browser.run
    finally:
        browser.close()


def open_process(page: Page, gateway: RunningGateway, process_id: str, query: str = "") -> None:
    """The page of a process, with an estimate of its trace."""
    page.goto(f"{gateway.url}/#/process/{process_id}{query}")
    expect(page.locator(".estimate strong")).to_be_visible()


def chosen_range(page: Page) -> dict[str, str]:
    """Begin and end of the range, as the address of the page keeps them once they stay."""
    return {name: values[0] for name, values in parse_qs(page.url.partition("?")[2]).items()}


def expect_range(page: Page, begin: str, end: str) -> None:
    """The address comes to keep this range."""
    expect(page).to_have_url(re.compile(rf"\?begin={re.escape(begin)}&end={re.escape(end)}$"))


def drag(page: Page, begin: float, end: float, steps: int = 4) -> None:
    """Choose a range on the timeline, from and to shares of its width."""
    box = page.locator(".plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + begin * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 50, steps=steps)
    page.mouse.up()
