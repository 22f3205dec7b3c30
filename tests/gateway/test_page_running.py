"""A process that is still running, on the page."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from flightsrv import telemetry
from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.client.fake_server import Wait
from tests.gateway.browser import Browse, drag, expect_range, open_process
from tests.gateway.conftest import Slowed
from tests.gateway.recorded import START_NS, Job, Program, job_events, record
from tests.gateway.test_generate import progress
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


def text(ms: float) -> str:
    """A time in the address of the page, in milliseconds since the start."""
    at = datetime.fromtimestamp(START_NS // 10**9, UTC) + timedelta(milliseconds=ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def go_on(client: QueryClient, process_id: str, name: str, jobs: list[Job]) -> None:
    """A thread that is new in a process, with its jobs."""
    stream = telemetry.thread_stream(f"{process_id}-{name}", process_id, name, 500)
    blocks: list[telemetry.Block] = []
    for job in jobs:
        blocks.extend(telemetry.cut_blocks(stream, job_events(job), sum(block.nb_objects for block in blocks)))
    client.ingest("streams", telemetry.streams_batch([stream]))
    client.ingest("blocks", telemetry.blocks_batch(blocks))


@pytest.fixture
def running(client: QueryClient) -> str:
    """A process of two threads and five minutes, so far."""
    return record(client, Program({"main": [Job(0, 300_000)], "pump": [Job(10, 20)]}, unfinished={"pump": 200_000}))


def test_the_last_minute_and_the_last_seconds(gateway: RunningGateway, running: str, browse: Browse) -> None:
    """Of the process, shown large enough to be seen; a process that is shorter has all of it in them."""

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        page.get_by_role("button", name="Last minute").click()
        expect_range(page, text(240_000), text(300_000))
        page.get_by_role("button", name="Last 10 s").click()
        expect_range(page, text(290_000), text(300_000))
        expect(page.locator(".ticks")).to_contain_text("10:04:55")

    browse(steps)


def test_following_shows_what_comes(gateway: RunningGateway, client: QueryClient, running: str, browse: Browse) -> None:
    """The end moves, and a range that reaches it moves along, with its length; a new thread appears."""

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        page.get_by_role("button", name="Last minute").click()
        expect_range(page, text(240_000), text(300_000))
        follow = page.get_by_role("button", name="Follow")
        page.locator("h1").focus()
        page.keyboard.press("f")
        expect(follow).to_have_attribute("aria-pressed", "true")
        go_on(client, running, "late", [Job(301_000, 320_000)])
        expect_range(page, text(260_000), text(320_000))
        expect(page.locator(".rows .name > span")).to_have_text(["late", "main", "pump"])
        expect(page.locator(".gutter")).to_have_text("3 threads")
        drag(page, 0.1, 0.2)
        chosen = page.get_by_label("End, UTC").input_value()
        go_on(client, running, "later", [Job(321_000, 330_000)])
        expect(page.locator(".rows li")).to_have_count(4)
        expect(page.get_by_label("End, UTC")).to_have_value(chosen)
        page.get_by_role("button", name="Show all").click()
        go_on(client, running, "last", [Job(331_000, 350_000)])
        expect(page.get_by_label("End, UTC")).to_have_value("2026-01-01 10:05:50")
        follow.click()
        expect(follow).to_have_attribute("aria-pressed", "false")

    browse(steps)


def test_following_shows_what_comes_late(
    gateway: RunningGateway, client: QueryClient, running: str, browse: Browse
) -> None:
    """Data of before the end as it was known is there within half a minute."""

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        page.clock.install()
        page.get_by_role("button", name="Follow").click()
        go_on(client, running, "late", [Job(1_000, 20_000), Job(30_000, 40_000)])
        facts = page.locator(".rows li", has_text="late").locator(".spoken")
        expect(facts).to_contain_text("0 events")

        def is_shown() -> bool:
            page.clock.run_for(2_000)
            return "8 events" in (facts.text_content() or "")

        wait_until(is_shown)

    browse(steps)


def test_following_does_not_stop_a_trace(slowed: Slowed, client: QueryClient, running: str, browse: Browse) -> None:
    """It goes on with the range that it was asked for; what has come meanwhile is shown after it."""
    between, gateway = slowed(progress("Processing thread 1/2: main", 1), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text("Processing thread 1/2: main")).to_be_visible()
        page.clock.install()
        page.get_by_role("button", name="Follow").click()
        go_on(client, running, "meanwhile", [Job(301_000, 320_000)])
        page.clock.run_for(10_000)
        expect(page.get_by_text("Processing thread 1/2: main")).to_be_visible()
        expect(page.locator(".rows li")).to_have_count(2)
        assert not between.abandoned.is_set()
        page.get_by_role("button", name="Cancel").click()
        page.clock.run_for(4_000)
        expect(page.locator(".rows li")).to_have_count(3)

    browse(steps)


def test_nothing_is_asked_for_twice(gateway: RunningGateway, client: QueryClient, running: str, browse: Browse) -> None:
    """While a process is followed: only what is later than what is known."""

    def steps(page: Page) -> None:
        asked: list[str] = []
        page.on("request", lambda request: "/threads" in request.url and asked.append(request.url))
        open_process(page, gateway, running)
        asked.clear()
        with page.expect_response("**/threads?begin=*"):
            page.get_by_role("button", name="Follow").click()
        go_on(client, running, "late", [Job(301_000, 320_000)])
        expect(page.locator(".rows li")).to_have_count(3)
        assert {url.partition("?")[2] for url in asked} <= {
            "begin=2026-01-01T10%3A05%3A00.000000001Z",
            "begin=2026-01-01T10%3A05%3A20.000000001Z",
        }

    browse(steps)


def test_a_hidden_page_asks_nothing(gateway: RunningGateway, running: str, browse: Browse) -> None:
    """Until somebody looks at it again."""

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        page.clock.install()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        page.get_by_role("button", name="Follow").click()
        page.clock.run_for(60_000)
        assert asked == []
        with page.expect_response("**/threads?begin=*"):
            page.evaluate("() => Object.defineProperty(document, 'hidden', { value: false })")
            page.clock.run_for(4_000)

    browse(steps)


def test_a_gateway_that_goes_away_ends_it(gateway: RunningGateway, running: str, browse: Browse) -> None:
    """In words, and a click begins again."""

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        page.route("**/threads?begin=*", lambda route: route.abort())
        follow = page.get_by_role("button", name="Follow")
        follow.click()
        expect(page.get_by_text("The gateway does not answer.")).to_be_visible()
        expect(follow).to_have_attribute("aria-pressed", "false")
        page.unroute("**/threads?begin=*")
        with page.expect_response("**/threads?begin=*"):
            page.get_by_role("button", name="Try again").click()
        expect(follow).to_have_attribute("aria-pressed", "true")

    browse(steps)


OPEN_PIXELS = """(name) => {
    const row = [...document.querySelectorAll(".rows li")].find((row) => row.querySelector("bdi").textContent === name);
    const canvas = row.querySelector("canvas");
    const { width, height } = canvas;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    const inked = (x, y) => pixels[4 * (Math.round(y * (height - 1)) * width + Math.round(x * (width - 1))) + 3] > 0;
    return [0.5, 0.7, 0.9].map((x) => [inked(x, 0.5), inked(x, 0.2)]);
}"""
"""Whether there is ink in the middle and near the edge of a thread's row, at shares of its width."""


def test_an_open_span_is_drawn_as_open(gateway: RunningGateway, running: str, browse: Browse) -> None:
    """A line from its begin to the end of what is known, and words. `main` is busy all the time."""

    def steps(page: Page) -> None:
        open_process(page, gateway, running)
        words = "in step at the end, 2 spans open since 2026-01-01 10:03:20"
        expect(page.locator("li", has_text="pump").locator(".spoken")).to_contain_text(words)
        expect(page.locator("li", has_text="main").locator(".spoken")).not_to_contain_text("open")
        assert page.evaluate(OPEN_PIXELS, "pump") == [[False, False], [True, False], [True, False]]
        assert page.evaluate(OPEN_PIXELS, "main") == [[True, True]] * 3

    browse(steps)
