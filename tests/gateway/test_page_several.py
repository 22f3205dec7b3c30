"""Several processes on one timeline of the page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.gateway.browser import Browse, drag, open_process
from tests.gateway.recorded import START_NS, Job, Program, record
from tests.gateway.test_page_running import OPEN_PIXELS

pytestmark = pytest.mark.browser

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def troupe(client: QueryClient) -> list[str]:
    """A director, an actor that it started a second later, and an understudy that the actor started, which waits."""
    acts = [
        Program({"stage": [Job(0, 4000)], "box office": [Job(0, 500)]}, [Job(0, 90)], exe="/opt/troupe/director"),
        Program({"stage": [Job(0, 1000, steps=9)]}, exe="/opt/troupe/actor", start_ns=START_NS + SECOND_NS),
        Program(
            {"wings": [Job(0, 10)]},
            exe="/opt/troupe/understudy",
            start_ns=START_NS + 2 * SECOND_NS + 200_000_000,
            unfinished={"wings": 500},
        ),
    ]
    ids: list[str] = []
    for act in acts:
        ids.append(record(client, Program(**{**vars(act), "parent": ids[-1] if ids else None})))
    return ids


def test_choose_some_and_see_them_together(
    gateway: RunningGateway, client: QueryClient, troupe: list[str], browse: Browse, tmp_path: Path
) -> None:
    """Through several searches; they are on one timeline, and in one trace."""
    director, _, understudy = troupe

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/?search=troupe/director")
        page.get_by_label("Choose director").check()
        page.get_by_label("Search processes").fill("troupe/under")
        page.get_by_label("Choose understudy").check()
        expect(page.locator(".chosen")).to_contain_text("2 chosen")
        page.reload()
        expect(page.get_by_label("Choose understudy")).to_be_checked()
        page.get_by_role("button", name="Show together").click()
        expect(page).to_have_url(re.compile(f"#/process/{director},{understudy}$"))
        expect(page.get_by_role("heading", name="director, understudy")).to_be_focused()
        expect(page.locator(".rows li bdi:first-child")).to_have_text(
            ["director", "host-1", "box office", "stage", "event loop", "understudy", "host-1", "wings"]
        )
        expect(page.locator(".gutter")).to_have_text("3 threads1 async")
        expect(page.locator(".estimate")).to_contain_text("in 3 threads and 1 async stream")
        drag(page, 0.3, 0.9)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename.startswith("director_understudy_2026-01-01")
        download.value.save_as(tmp_path / "file")
        assert page.url.count(",") == 1
        begin, end = re.findall(r"=([^&]+)", page.url)
        assert (tmp_path / "file").read_bytes() == client.trace([director, understudy], begin=begin, end=end)
        page.get_by_label("Filter threads").fill("wings")
        expect(page.locator(".rows .name > span")).to_have_text(["wings"])
        page.locator(".rows .process a", has_text="understudy").click()
        expect(page.get_by_role("heading", name="understudy")).to_be_visible()

    browse(steps)


def test_with_its_children(gateway: RunningGateway, troupe: list[str], browse: Browse) -> None:
    """And theirs: from the list, and from the page of the process."""
    address = re.compile(f"#/process/{','.join(troupe)}$")

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/?search=troupe/director")
        page.get_by_role("button", name="+ 1 child").click()
        expect(page.locator(".chosen")).to_contain_text("3 chosen")
        page.get_by_role("button", name="Show together").click()
        expect(page).to_have_url(address)
        expect(page.locator(".rows .process a")).to_have_text(["director", "actor", "understudy"])
        open_process(page, gateway, troupe[0])
        page.get_by_role("button", name="Show with its children").click()
        expect(page).to_have_url(address)
        page.go_back()
        expect(page.get_by_role("button", name="Show with its children")).to_be_visible()
        page.goto(f"{gateway.url}/#/?search=troupe&chosen={troupe[1]}")
        page.get_by_role("button", name="Choose none").click()
        expect(page.locator(".chosen")).to_be_hidden()
        expect(page.locator(":checked")).to_have_count(0)

    browse(steps)


def test_an_open_span_ends_with_what_is_known_of_its_process(
    gateway: RunningGateway, troupe: list[str], browse: Browse
) -> None:
    """Not with what is known of another one, that went on."""

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/process/{','.join(troupe)}")
        expect(page.locator("li", has_text="wings").locator(".spoken")).to_contain_text("open since")
        page.wait_for_function("() => document.querySelector('.rows li:last-child canvas').width > 0")
        # It began at 2.7 s of 4 s, a millisecond before the last of what is known of its process.
        assert page.evaluate(OPEN_PIXELS, "wings") == [[False, False]] * 3

    browse(steps)


def test_following_all_of_them(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """What comes of one moves the end of the time line; the other, which had nothing yet, appears with its first."""
    ids = [
        record(client, Program({"main": [Job(0, 1000)]}, exe="/opt/early")),
        record(client, Program({}, exe="/opt/late")),
    ]

    def steps(page: Page) -> None:
        open_process(page, gateway, ",".join(ids))
        expect(page.locator(".rows .process")).to_contain_text(["early", "late"])
        page.get_by_role("button", name="Follow").click()
        record(client, Program({"main": [Job(2000, 3000)]}, exe="/opt/late"), ids[1])
        expect(page.locator(".rows .name > span")).to_have_text(["main", "main"])
        expect(page.get_by_label("End, UTC")).to_have_value("2026-01-01 10:00:03")

    browse(steps)
