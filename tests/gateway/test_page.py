"""The page, used as a person uses it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, expect

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from tests.client.fake_server import Chunk, Wait
from tests.gateway.browser import Browse, drag
from tests.gateway.conftest import Scripted
from tests.gateway.http import ask
from tests.gateway.recorded import MS, Job, Program, job_events, record
from tests.gateway.test_generate import progress

pytestmark = pytest.mark.browser

SECONDS = Program(
    threads={
        "MainThread": [Job(at, at + 700, steps=3) for at in range(0, 10_000, 1000)],
        "worker-10": [Job(2_000, 4_500, steps=20)],
        "worker-9": [Job(6_000, 10_000, steps=20)],
    },
    requests=[Job(100 * number, 100 * number + 350) for number in range(90)],
    exe="/opt/orchestra/conductor",
    computer="podium",
)

SLICES = "SELECT ts, dur, name FROM slice ORDER BY ts, dur, name"


@pytest.fixture(scope="module")
def conductor(client: QueryClient) -> str:
    """The id of a process that ran for ten seconds, beside others."""
    for number in range(3):
        record(client, Program({"main": []}, exe=f"/opt/orchestra/player-{number}"))
    return record(client, SECONDS)


def chosen_range(page: Page) -> dict[str, str]:
    """Begin and end of the range, as the address of the page keeps them."""
    return {name: values[0] for name, values in parse_qs(page.url.partition("?")[2]).items()}


def open_process(page: Page, gateway: RunningGateway, process_id: str) -> None:
    """The page of a process, ready for a click."""
    page.goto(f"{gateway.url}/#/process/{process_id}")
    expect(page.get_by_role("button", name="Download")).to_be_enabled()


def generate_at(page: Page, from_gateway: RunningGateway, to_url: str) -> None:
    """Have traces made by another gateway."""
    page.route("**/generate", lambda route: route.continue_(url=route.request.url.replace(from_gateway.url, to_url)))


@pytest.mark.usefixtures("conductor")
def test_find_a_process(gateway: RunningGateway, browse: Browse) -> None:
    """By words, in any order; columns sort; the keyboard does it all."""

    def steps(page: Page) -> None:
        page.goto(gateway.url)
        page.keyboard.type("orchestra")
        expect(page.locator("tbody tr")).to_have_count(4)
        page.get_by_role("button", name="Program").click()
        expect(page.locator("tbody strong")).to_have_text(["conductor", "player-0", "player-1", "player-2"])
        page.get_by_role("button", name="Program").click()
        expect(page.locator("tbody strong")).to_have_text(["player-2", "player-1", "player-0", "conductor"])
        expect(page.get_by_role("columnheader", name="Program")).to_have_attribute("aria-sort", "descending")
        page.keyboard.press("/")
        page.keyboard.type("podium conduc")
        expect(page.get_by_role("status")).to_have_text("1\u20131 of 1")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="conductor")).to_be_visible()
        expect(page.locator(".rows .name > span")).to_have_text(["MainThread", "worker-9", "worker-10", "event loop"])

    browse(steps)


def test_nothing_is_found(gateway: RunningGateway, browse: Browse) -> None:
    """And the page says so."""

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/?search=bassoon")
        expect(page.get_by_role("status")).to_have_text("No process matches “bassoon”.")

    browse(steps)


def test_download_a_range(
    gateway: RunningGateway,
    client: QueryClient,
    conductor: str,
    browse: Browse,
    tmp_path: Path,
) -> None:
    """What was dragged is what is in the file, which is the Flight SQL client's to the byte."""

    def steps(page: Page) -> dict[str, str]:
        open_process(page, gateway, conductor)
        drag(page, 0.3, 0.5)
        page.get_by_label("Async spans").uncheck()
        expect(page.locator(".estimate strong")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        download.value.save_as(tmp_path / "file")
        assert re.fullmatch(r"conductor_2026-01-01_10_00_03_to_10_00_05\.pftrace", download.value.suggested_filename)
        expect(page.get_by_text("is in your downloads")).to_be_visible()
        return chosen_range(page)

    wanted = browse(steps)
    assert wanted["begin"].startswith("2026-01-01T10:00:0")
    assert (tmp_path / "file").read_bytes() == client.trace(conductor, span_types="thread", **wanted)


def test_a_range_by_keyboard(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """The ends of the range move by keys, and by writing times; the address keeps it."""

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        begin, end = (page.get_by_role("slider", name=f"{side} of the range") for side in ("Begin", "End"))
        begin.press("Shift+ArrowRight")
        end.press("ArrowLeft")
        assert chosen_range(page) == {
            "begin": "2026-01-01T10:00:01.000000000Z",
            "end": "2026-01-01T10:00:09.900000000Z",
        }
        expect(begin).to_have_attribute("aria-valuetext", "2026-01-01 10:00:01 UTC")
        field = page.get_by_label("Begin, UTC")
        field.fill("2026-01-01 10:00:02.5")
        field.press("Enter")
        assert chosen_range(page)["begin"] == "2026-01-01T10:00:02.500000000Z"
        expect(page.locator(".length")).to_have_text("7.4 s")
        field.fill("noon")
        field.press("Enter")
        expect(field).to_have_attribute("aria-invalid", "true")
        page.reload()
        expect(field).to_have_value("2026-01-01 10:00:02.5")
        end.press("End")
        begin.press("Home")
        assert chosen_range(page) == {}

    browse(steps)


def test_zoom_shows_a_part_in_more_detail(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """To the range that is chosen, and back."""

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        drag(page, 0.4, 0.5)
        with page.expect_response(re.compile(r"/threads\?begin=")):
            page.keyboard.press("z")
        expect(page.locator(".ticks")).to_contain_text("10:00:04.6")
        page.keyboard.press("0")
        expect(page.locator(".ticks")).not_to_contain_text("10:00:04.6")
        assert chosen_range(page) == {}

    browse(steps)


def recorded_spans(program: Program, begin_ms: float, end_ms: float) -> list[tuple[int, int, str]]:
    """Begin and duration in nanoseconds, and name, of all spans in a range."""
    spans: list[tuple[int, int, str]] = []
    for job in chain.from_iterable(program.threads.values()):
        begin, *steps, end = job_events(job).ticks.tolist()
        spans += [
            (begin, end, "job"),
            *((begin, end, "step") for begin, end in zip(steps[::2], steps[1::2], strict=True)),
        ]
    spans += [(int(job.begin_ms * MS), int(job.end_ms * MS), "job") for job in program.requests]
    return sorted(
        (program.start_ns + begin, end - begin, name)
        for begin, end, name in spans
        if begin <= end_ms * MS and end >= begin_ms * MS
    )


def test_open_in_perfetto(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """The real Perfetto UI, served by the gateway, has the slices that were recorded, and shows the range."""

    def steps(page: Page) -> tuple[dict[str, str], list[list[str]], list[str], str]:
        foreign: list[str] = []
        page.context.on(
            "requestfinished",
            lambda request: request.url.startswith((gateway.url, "blob:", "data:")) or foreign.append(request.url),
        )
        open_process(page, gateway, conductor)
        drag(page, 0.3, 0.5)
        expect(page.locator(".estimate strong")).to_be_visible()
        with page.expect_popup() as popup:
            page.get_by_role("button", name="Open in Perfetto").click()
        expect(page.get_by_text("The Perfetto UI has the trace")).to_be_visible()
        opened = popup.value
        opened.wait_for_function("() => window.app?.trace")
        opened.wait_for_selector(".pf-track")
        slices = opened.evaluate(
            """async (sql) => {
                const result = await app.trace.engine.query(sql);
                const rows = [];
                for (const row = result.iter({ts: 0n, dur: 0n, name: "str"}); row.valid(); row.next()) {
                    rows.push([String(row.ts), String(row.dur), row.name]);
                }
                return rows;
            }""",
            SLICES,
        )
        visible = opened.evaluate(
            """() => {
                const shown = app.trace.timeline.visibleWindow;
                return [shown.start.integral, shown.duration].map(String);
            }"""
        )
        assert foreign == []
        return chosen_range(page), slices, visible, opened.title()

    wanted, slices, visible, title = browse(steps)
    assert wanted == {"begin": "2026-01-01T10:00:03.000000000Z", "end": "2026-01-01T10:00:05.000000000Z"}
    assert slices == [list(map(str, span)) for span in recorded_spans(SECONDS, 3_000, 5_000)]
    assert title.startswith("conductor 2026-01-01 10:00:03 to 10:00:05")
    assert visible == ["1767261603000000000", "2000000000"]


def test_progress_and_cancel(gateway: RunningGateway, conductor: str, scripted: Scripted, browse: Browse) -> None:
    """What the server says is shown while it works; cancelling stops it, and the trace can be asked for again."""
    fake, slow = scripted(progress("Processing thread 1/2: MainThread", 1), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        generate_at(page, gateway, slow.url)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text("Processing thread 1/2: MainThread")).to_be_visible()
        expect(page.get_by_text("1 of 2 threads · 10 spans")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.5)
        assert not fake.abandoned.is_set()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled. Nothing was kept.")).to_be_visible()
        assert fake.abandoned.wait(30)
        page.unroute("**/generate")
        with page.expect_download():
            page.get_by_role("button", name="Download").click()

    browse(steps)


def test_bytes_are_progress_too(gateway: RunningGateway, conductor: str, scripted: Scripted, browse: Browse) -> None:
    """Shown against the estimate; leaving the page stops the server as well."""
    fake, slow = scripted(Chunk(0, b"names"), Chunk(1, bytes(2000)), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        generate_at(page, gateway, slow.url)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text(re.compile(r"2 kB of about \d"))).to_be_visible()
        page.get_by_role("link", name="Processes").click()
        assert fake.abandoned.wait(30)

    browse(steps)


@contextmanager
def mortal_server() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server in a process of its own that stops half way through any trace."""
    program = (
        "from tests.client.fake_server import *\n"
        "with serving(Chunk(0, b'names'), Chunk(1, bytes(2000)), Wait()) as fake:\n"
        "    print(fake.url, flush=True)\n"
        "    fake.abandoned.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_server_that_dies_half_way(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """The page says so, and there is no file."""
    with mortal_server() as (process, url), running_gateway(url, GatewaySettings(port=0)) as before_it:

        def steps(page: Page) -> None:
            open_process(page, gateway, conductor)
            generate_at(page, gateway, before_it.url)
            downloads: list[object] = []
            page.on("download", lambda download: downloads.append(download))
            page.get_by_role("button", name="Download").click()
            expect(page.get_by_text("2 kB of about")).to_be_visible()
            process.kill()
            expect(page.get_by_role("alert")).to_contain_text("The connection broke before the trace was whole")
            page.unroute("**/generate")
            with page.expect_download():
                page.get_by_role("button", name="Try again").click()
            assert len(downloads) == 1

        browse(steps)


def test_windows_that_do_not_open(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Blocked, closed too early, or of somebody who does not answer: each is said, and can be tried again."""

    def steps(page: Page) -> None:
        page.clock.install()
        page.route("**/api/settings", lambda route: route.fulfill(json={"perfetto_ui": "/health", "version": "0"}))
        page.add_init_script(
            "const really = window.open; window.open = () => null; window.unblock = () => (window.open = really)"
        )
        page.goto(f"{gateway.url}/#/process/{conductor}")
        page.clock.run_for(1000)
        page.get_by_role("button", name="Open in Perfetto").click()
        expect(page.get_by_role("alert")).to_contain_text("The browser did not let the Perfetto UI open a window.")
        page.evaluate("() => unblock()")
        with page.expect_popup() as popup:
            page.get_by_role("button", name="Open the trace now").click()
        popup.value.close()
        page.clock.run_for(1000)
        expect(page.get_by_role("alert")).to_have_text(
            "The window of the Perfetto UI was closed before it took the trace."
        )
        with page.expect_popup():
            page.get_by_role("button", name="Try again").click()
        page.clock.run_for(61_000)
        expect(page.get_by_role("alert")).to_contain_text(
            f"The Perfetto UI at {gateway.url} did not answer within a minute"
        )

    browse(steps)


def test_errors_are_said_in_words(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """A gateway that is away, a process that is unknown, spans that are not chosen."""

    def steps(page: Page) -> None:
        page.route("**/api/processes?**", lambda route: route.abort())
        page.goto(gateway.url)
        expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
        page.unroute("**/api/processes?**")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("tbody tr").first).to_be_visible()
        page.goto(f"{gateway.url}/#/process/nobody")
        expect(page.get_by_role("alert")).to_have_text("There is no process 'nobody'.")
        open_process(page, gateway, conductor)
        page.get_by_label("Thread spans").uncheck()
        page.get_by_label("Async spans").uncheck()
        expect(page.get_by_text("Choose thread spans, async spans, or both.")).to_be_visible()
        expect(page.get_by_role("button", name="Download")).to_be_disabled()

    browse(steps)


def test_the_api_is_described(gateway: RunningGateway, browse: Browse) -> None:
    """Every operation of the OpenAPI document, with its parameters and answers, without the help of another site."""

    paths = ask(f"{gateway.url}/api/openapi.json").json["paths"]

    def steps(page: Page) -> None:
        page.goto(gateway.url)
        page.get_by_role("link", name="API").click()
        expect(page.locator("article")).to_have_count(sum(map(len, paths.values())))
        generate = page.locator("article", has_text="/api/perfetto/{process_id}/generate")
        expect(generate).to_contain_text("include_async_spans")
        expect(generate).to_contain_text("There is no such process")
        expect(page.locator("article", has_text="/api/processes/{process_id}/threads")).to_contain_text("max_ranges")

    browse(steps)


def test_it_fits_a_narrow_screen(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Nothing is wider than the screen."""

    def steps(page: Page) -> None:
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(gateway.url)
        expect(page.locator("tbody tr").first).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
        open_process(page, gateway, conductor)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360

    browse(steps)
