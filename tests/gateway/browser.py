"""The page in a real browser."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from flightsrv.gateway.lifecycle import RunningGateway
from tests.support.debian import program_or_skip

T = TypeVar("T")

WITHIN_MS = 60_000
expect.set_options(timeout=WITHIN_MS)
_ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


class Browse(Protocol):
    """Runs steps on a page of a new browser, and fails where a script of the page does."""

    def __call__(self, steps: Callable[[Page], T], *arguments: str) -> T: ...


@pytest.fixture
def browse() -> Browse:
    """A browser, if there is one on this machine."""
    chromium = program_or_skip("chromium")

    def run(steps: Callable[[Page], T], *arguments: str) -> T:
        # Playwright leaves an event loop behind in its thread, where nothing else could run one.
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(_run, chromium, steps, arguments).result()

    return run


def _run(chromium: Path, steps: Callable[[Page], T], arguments: Sequence[str]) -> T:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=[*_ARGUMENTS, *arguments]) as browser,
        browser.new_context(viewport={"width": 1100, "height": 700}, accept_downloads=True) as context,
    ):
        context.set_default_timeout(WITHIN_MS)
        page = context.new_page()
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        result = steps(page)
        assert failures == []
        return result


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
