"""The list of processes, and the threads of one, as a person sees them."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from flightsrv.client import QueryClient, connect
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.server.lifecycle import running_server
from tests.gateway.browser import Browse, chosen_range, drag, expect_range, open_process
from tests.gateway.http import ask
from tests.gateway.recorded import Job, Program, record

pytestmark = pytest.mark.browser

HOUR_MS = 3_600_000


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
        expect(page.get_by_role("heading", name="conductor")).to_be_focused()
        expect(page.locator(".rows .name > span")).to_have_text(["MainThread", "worker-9", "worker-10", "event loop"])
        expect(page.locator(".gutter")).to_have_text("3 threads1 async")

    browse(steps)


@pytest.mark.usefixtures("conductor")
def test_back_leads_to_what_was_found(gateway: RunningGateway, browse: Browse) -> None:
    """The address keeps the search, and each process has one of its own."""

    def steps(page: Page) -> None:
        page.goto(gateway.url)
        page.keyboard.type("player-1")
        expect(page.locator("tbody strong")).to_have_text(["player-1"])
        page.get_by_role("link", name="player-1").click()
        expect(page).to_have_title("player-1 · flightsrv")
        page.go_back()
        expect(page.get_by_label("Search processes")).to_have_value("player-1")
        expect(page.locator("tbody strong")).to_have_text(["player-1"])
        expect(page).to_have_title("flightsrv")
        page.go_forward()
        expect(page.get_by_role("heading", name="player-1")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="player-1")).to_be_visible()

    browse(steps)


def test_programs_go_by_names_that_tell_them_apart(
    gateway: RunningGateway, client: QueryClient, browse: Browse
) -> None:
    """Those of Python by what it runs. Data that came years later says nothing of how long a program ran."""
    commands = {
        "python3 -X dev -u jobs/clean.py --all": "clean.py",
        "python3.11 -W error -m jobs.weekly --dry": "jobs.weekly",
        "python3 -c print(1)": "python3",
        "python3": "python3",
    }
    exes = ["/usr/bin/python3"] * len(commands) + ["/opt/clean"]
    for command, exe in zip([*commands, "clean -m x"], exes, strict=True):
        record(client, Program({}, exe=exe, start_ns=0, computer="named", properties={"command-line": command}))

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/?search=named")
        expect(page.locator("tbody tr")).to_have_count(len(exes))
        assert sorted(page.locator("tbody strong").all_inner_texts()) == sorted([*commands.values(), "clean"])
        expect(page.get_by_text("after")).to_have_count(0)

    browse(steps)


@pytest.mark.usefixtures("conductor")
def test_nothing_is_found(gateway: RunningGateway, browse: Browse) -> None:
    """And the page says so, also of an address that was made up."""

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/?search=bassoon")
        expect(page.get_by_role("status")).to_have_text("No process matches “bassoon”.")
        page.goto(f"{gateway.url}/#/?offset=1000000")
        expect(page.get_by_role("status")).to_have_text(re.compile(r"None left of \d"))
        page.get_by_role("button", name="Previous page").click()
        expect(page.locator("tbody tr").first).to_be_visible()

    browse(steps)


@pytest.mark.usefixtures("conductor")
@pytest.mark.parametrize("address", ["#/process/%E0%A4%A", "#/process/", "#/nothing", "#/?offset=many", "#process"])
def test_an_address_that_means_nothing_is_that_of_the_list(
    gateway: RunningGateway, browse: Browse, address: str
) -> None:
    """Rather than an empty page."""

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/{address}")
        expect(page.get_by_role("link", name="conductor").first).to_be_visible()

    browse(steps)


def test_a_lake_without_processes_says_how_they_come(tmp_path: Path, browse: Browse) -> None:
    """It is what a person sees first; and a process without events is no dead end."""
    with (
        running_server(str(tmp_path / "lake")) as server,
        running_gateway(server.url, GatewaySettings(port=0)) as gateway,
        connect(server.url) as client,
    ):

        def steps(page: Page) -> None:
            page.goto(gateway.url)
            expect(page.get_by_role("status")).to_have_text("The server has no processes yet.")
            expect(page.get_by_text("A program that calls flightsrv.tracing.start(…)")).to_be_visible()
            process_id = record(client, Program({"idle": []}))
            page.goto(f"{gateway.url}/#/process/{process_id}")
            expect(page.get_by_text("This process has sent no events yet.")).to_be_visible()

        browse(steps)


def test_a_range_by_keyboard(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """The ends of the range move by keys, and by writing times; the address keeps it."""

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        begin, end = (page.get_by_role("slider", name=f"{side} of the range") for side in ("Begin", "End"))
        begin.press("Shift+ArrowRight")
        end.press("ArrowLeft")
        expect_range(page, "2026-01-01T10:00:01.000000000Z", "2026-01-01T10:00:09.900000000Z")
        expect(begin).to_have_attribute("aria-valuetext", "2026-01-01 10:00:01 UTC")
        field = page.get_by_label("Begin, UTC")
        field.fill("2026-01-01 10:00:02.5")
        field.press("Enter")
        expect_range(page, "2026-01-01T10:00:02.500000000Z", "2026-01-01T10:00:09.900000000Z")
        expect(page.locator(".length")).to_have_text("7.4 s")
        field.fill("noon")
        field.press("Enter")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_text("Begin must be a time such as 2026-01-01T10:00:00.5Z, -90s or now-5m")).to_be_visible()
        expect(page.get_by_role("button", name="Download")).to_be_disabled()
        page.reload()
        expect(field).to_have_value("2026-01-01 10:00:02.5")
        end.press("End")
        begin.press("Home")
        expect(page).to_have_url(re.compile(f"{conductor}$"))

    browse(steps)


def test_the_address_changes_once_for_a_drag(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Browsers refuse to change it too often."""

    def steps(page: Page) -> None:
        page.add_init_script(
            "window.changes = 0; const really = history.replaceState.bind(history);"
            "history.replaceState = (...all) => { changes += 1; really(...all); }"
        )
        page.clock.install()
        open_process(page, gateway, conductor)
        before = page.evaluate("() => changes")
        page.clock.pause_at(time.time() + 60)
        drag(page, 0.1, 0.9, steps=150)
        page.clock.run_for(1000)
        expect(page.locator(".estimate strong")).to_be_visible()
        assert page.evaluate("() => changes") == before + 1
        assert chosen_range(page)["begin"].startswith("2026-01-01T10:00:01")

    browse(steps)


def test_what_is_left_behind_changes_no_address(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Neither a range that was dragged a moment before, nor a search that was typed."""

    def steps(page: Page) -> None:
        page.clock.install()
        page.add_init_script(
            "window.addresses = []; const really = history.replaceState.bind(history);"
            "history.replaceState = (...all) => { addresses.push(all[2]); really(...all); }"
        )
        page.goto(f"{gateway.url}/#/process/{conductor}")
        expect(page.locator(".estimate strong")).to_be_visible()
        page.clock.pause_at(time.time() + 60)
        drag(page, 0.5, 0.6)
        page.get_by_role("link", name="Processes").click()
        expect(page.locator("tbody tr").first).to_be_visible()
        page.clock.run_for(1000)
        expect(page).to_have_url(f"{gateway.url}/#/")
        page.get_by_label("Search processes").fill("player")
        page.get_by_role("link", name="conductor").first.click()
        expect(page.get_by_role("heading", name="conductor")).to_be_visible()
        page.clock.run_for(1000)
        expect(page).to_have_url(re.compile("#/process/[^?]+$"))
        assert [address for address in page.evaluate("() => addresses") if "player" in address] == []

    browse(steps)


HOLD_TYPING = """
    const really = setTimeout;
    window.typed = [];
    window.setTimeout = (work, ms, ...others) => (ms === 150 ? typed.push(work) : really(work, ms, ...others));
"""
"""What is typed waits in `typed` until a test lets it go on."""


def test_a_link_counts_more_than_what_was_typed(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Also where the search goes on just after a link was followed, and before the view knows of that."""

    def steps(page: Page) -> None:
        page.add_init_script(HOLD_TYPING)
        page.goto(gateway.url)
        expect(page.locator("tbody tr").first).to_be_visible()
        page.get_by_label("Search processes").fill("player")
        page.evaluate("(hash) => { location.hash = hash; typed.pop()(); }", f"#/process/{conductor}")
        expect(page.get_by_role("heading", name="conductor")).to_be_visible()

    browse(steps)


def test_the_focus_stays_where_it_is(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """While the list is read again: on a title, and on a process."""
    for number in range(3):
        record(client, Program({}, exe=f"/opt/focus-{number}", computer="focused"))

    def steps(page: Page) -> None:
        page.add_init_script(HOLD_TYPING)
        page.goto(f"{gateway.url}/#/?search=focus-2")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.get_by_label("Search processes").fill("focused")
        page.keyboard.press("ArrowDown")
        page.evaluate("() => typed.pop()()")
        expect(page.locator("tbody tr")).to_have_count(3)
        expect(page.get_by_role("link", name="focus-2")).to_be_focused()
        title = page.get_by_role("button", name="Program")
        title.focus()
        page.keyboard.press("Enter")
        expect(page.locator("tbody strong").first).to_have_text("focus-0")
        expect(title).to_be_focused()

    browse(steps)


def test_a_row_does_not_go_away_in_the_middle_of_a_click(
    gateway: RunningGateway, client: QueryClient, browse: Browse
) -> None:
    """A search that comes back just then waits for it."""
    process_id = record(client, Program({}, exe="/opt/pressed", computer="pressing"))

    def steps(page: Page) -> None:
        page.add_init_script(HOLD_TYPING)
        page.goto(f"{gateway.url}/#/?search=pressing")
        page.get_by_role("link", name="pressed").hover()
        page.mouse.down()
        page.get_by_label("Search processes").evaluate("(field) => { field.value = 'press'; }")
        page.get_by_label("Search processes").dispatch_event("input")
        with page.expect_response("**/api/processes?*"):
            page.evaluate("() => typed.pop()()")
        page.mouse.up()
        expect(page).to_have_url(re.compile(f"#/process/{process_id}$"))

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
        expect(page).to_have_url(re.compile(f"{conductor}$"))

    browse(steps)


def test_a_range_of_an_address_can_be_seen(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """However little of the process's life it is."""

    def steps(page: Page) -> None:
        query = "?begin=2026-01-01T10:00:04.1Z&end=2026-01-01T10:00:04.2Z"
        open_process(page, gateway, conductor, query)
        boxes = [page.get_by_role("slider", name=f"{side} of the range").bounding_box() for side in ("Begin", "End")]
        begin_x, end_x = (box["x"] for box in boxes if box)
        plot = page.locator(".plot").bounding_box()
        assert plot is not None
        assert end_x - begin_x == pytest.approx(plot["width"] / 3, rel=0.01)

    browse(steps)


def test_days_are_told_apart(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """On the axis, at the pointer, and in the name of the trace."""
    days = [Job(hour * HOUR_MS, hour * HOUR_MS + 1000) for hour in range(0, 80, 7)]
    process_id = record(client, Program({"main": days}))

    def steps(page: Page) -> None:
        open_process(page, gateway, process_id)
        expect(page.locator(".ticks .day")).to_have_text(["2026-01-02", "2026-01-03", "2026-01-04"])
        page.locator(".ticks").hover()
        expect(page.locator(".pointer")).to_contain_text(re.compile(r"^2026-01-0\d \d\d:\d\d:\d\d"))
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "app_2026-01-01_10_00_00_to_2026-01-04_15_00_01.pftrace"

    browse(steps)


def test_an_instant_is_long_enough(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """For a process whose only span took no time: it is in the middle, and there is a trace."""
    process_id = record(client, Program({"main": [Job(3, 3)]}))

    def steps(page: Page) -> None:
        open_process(page, gateway, process_id)
        box, plot = page.locator(".handle.begin").bounding_box(), page.locator(".plot").bounding_box()
        assert box is not None
        assert plot is not None
        assert box["x"] + box["width"] / 2 == pytest.approx(plot["x"] + plot["width"] / 2, abs=2)
        page.keyboard.press("+")
        page.keyboard.press("-")
        with page.expect_download():
            page.get_by_role("button", name="Download").click()

    browse(steps)


def test_a_thousand_threads(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """All are listed with all their times, of which there may be many, and those that can be seen are drawn."""
    process_id = record(client, Program({f"worker-{number}": [Job(number, 1000)] for number in range(1000)}))
    drawn = "() => [...document.querySelectorAll('canvas')].filter((canvas) => canvas.width > 0).length"

    def answer_with_more(route: Route) -> None:
        found = route.fetch().json()
        for thread in found["threads"]:
            thread["ranges"] *= 200
        route.fulfill(json=found)

    def steps(page: Page) -> None:
        page.route("**/threads", answer_with_more)
        open_process(page, gateway, process_id)
        expect(page.locator(".rows li")).to_have_count(1000)
        page.wait_for_function(f"() => ({drawn})() > 10")
        assert page.evaluate(drawn) < 100
        page.locator(".rows li").last.scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('.rows li:last-child canvas').width > 0")
        assert page.evaluate(drawn) < 100
        drag(page, 0.2, 0.3)
        page.keyboard.press("z")
        expect(page.locator(".rows li")).to_have_count(1000)

    browse(steps)


EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def test_telemetry_is_text(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """Whatever a program calls itself, its threads and its properties: nothing runs, nothing is passed off."""
    properties = {"command-line": EVIL, "Process id": "somebody-else", "__proto__": "x", EVIL: EVIL}
    program = Program(
        {EVIL: [Job(0, 10)], "\u202etxt.exe": [Job(0, 10)]}, exe=EVIL, computer=EVIL, properties=properties
    )
    process_id = record(client, program)

    def steps(page: Page) -> None:
        refused: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and refused.append(message.text))
        page.goto(f"{gateway.url}/#/?search=onerror")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.locator("tbody tr").click()
        expect(page.locator(".estimate strong")).to_be_visible()
        page.get_by_text("More").click()
        expect(page.locator(".heading dd", has_text=EVIL)).to_have_count(4)
        expect(page.locator("dd").first).to_have_text(process_id)
        expect(page.locator(".rows .name bdi")).to_have_text([EVIL, "\u202etxt.exe"])
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert re.fullmatch(
            r"_img_src_x_onerror_[\w.]*_script_2026-01-01_[\d_.to]+\.pftrace", download.value.suggested_filename
        )
        assert page.evaluate("() => window.pwned") is None
        expect(page.locator("main img, main script")).to_have_count(0)
        assert refused == []

    browse(steps)


def test_long_names_stay_in_their_place(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """In the list, in the heading and beside the threads; the whole name is a hover away."""
    name = "a-program-with-quite-a-long-name-" * 12
    process_id = record(client, Program({name: [Job(0, 10)]}, exe=f"/opt/{name}", computer="long-host-name." * 12))

    def steps(page: Page) -> None:
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(f"{gateway.url}/#/?search={name[:40]}")
            row = page.locator("tbody tr")
            expect(row).to_have_count(1)
            boxes = [cell.bounding_box() for cell in row.locator("td:visible .clipped, td:visible time").all()]
            cells = [cell.bounding_box() for cell in row.locator("td:visible").all()]
            right_most = max(cell["x"] + cell["width"] for cell in cells if cell)
            assert right_most <= width
            for box in boxes:
                assert box is not None
                assert any(
                    cell and cell["x"] <= box["x"] and box["x"] + box["width"] <= cell["x"] + cell["width"] + 0.5
                    for cell in cells
                )
            expect(row.locator("strong")).to_have_attribute("title", name)
            open_process(page, gateway, process_id)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            heading = page.get_by_role("heading").bounding_box()
            assert heading is not None
            assert heading["height"] < 60

    browse(steps)


def test_a_server_that_comes_back(tmp_path: Path, browse: Browse) -> None:
    """While the page is open: what it says meanwhile, and that nothing but a click is needed after."""
    lake = str(tmp_path / "lake")
    with running_server(lake) as server:
        port = int(server.url.rpartition(":")[2])
        with connect(server.url) as client:
            process_id = record(client, Program({"main": [Job(0, 1000)]}))
        gateway = RunningGateway(server.url, GatewaySettings(port=0))

    def steps(page: Page) -> None:
        with running_server(lake, port=port):
            while ask(f"{gateway.url}/ready").status == 503:  # it tries again after a second or so
                pass
            open_process(page, gateway, process_id)
        drag(page, 0.2, 0.4)
        expect(page.locator(".estimate.error")).to_contain_text("The Flight SQL server is unreachable or busy: ")
        with running_server(lake, port=port):
            while ask(f"{gateway.url}/ready").status == 503:
                pass
            page.get_by_role("button", name="Try again").click()
            expect(page.locator(".estimate strong")).to_be_visible()
            expect(page.locator(".estimate.error")).to_have_count(0)

    try:
        browse(steps)
    finally:
        gateway.stop()


def test_errors_are_said_in_words(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """A gateway that is away, a process that is unknown, spans that are not chosen, a range without any."""

    def steps(page: Page) -> None:
        page.route("**/api/processes?**", lambda route: route.abort())
        page.goto(gateway.url)
        expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
        page.unroute("**/api/processes?**")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("tbody tr").first).to_be_visible()
        page.goto(f"{gateway.url}/#/process/nobody")
        expect(page.get_by_role("alert")).to_have_text("There is no process 'nobody'.")
        expect(page).to_have_title("nobody · flightsrv")
        open_process(page, gateway, conductor)
        page.get_by_label("Thread spans").uncheck()
        page.get_by_label("Async spans").uncheck()
        expect(page.get_by_text("Choose thread spans, async spans, or both.")).to_be_visible()
        expect(page.get_by_role("button", name="Download")).to_be_disabled()
        page.goto(f"{gateway.url}/#/process/{conductor}?begin=2026-01-01T11:00:00Z&end=2026-01-01T12:00:00Z")
        expect(page.locator(".estimate")).to_have_text("There is no data in this range.")

    browse(steps)


def test_the_estimate(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Size, time, and whose events; nothing that was not meant for people."""

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        expect(page.locator(".estimate")).to_have_text(
            re.compile(r"^About [\d.]+ kB, \d+ ms340 events in 3 threads and 1 async stream(slower the first time)?$")
        )
        drag(page, 0.61, 0.65)
        page.get_by_label("Async spans").uncheck()
        expect(page.locator(".estimate")).to_contain_text(re.compile(r"\d events? in 2 threads(slower|$)"))

    browse(steps)


def test_the_api_is_described(gateway: RunningGateway, browse: Browse) -> None:
    """Every operation of the OpenAPI document, with its parameters and answers, without the help of another site."""

    paths = ask(f"{gateway.url}/api/openapi.json").json["paths"]

    def steps(page: Page) -> None:
        page.goto(gateway.url)
        page.get_by_role("link", name="API").click()
        expect(page.locator("article")).to_have_count(sum(map(len, paths.values())))
        generate = page.locator("article", has_text="/api/perfetto/{process_ids}/generate")
        expect(generate).to_contain_text("include_async_spans")
        expect(generate).to_contain_text("There is no such process")
        listed = page.locator("article", has_text="/api/processes/{process_id}/threads")
        expect(listed).to_contain_text("max_ranges")
        expect(listed).to_contain_text("1 to 10000")
        expect(page.locator("main")).not_to_contain_text("`")

    browse(steps)


@pytest.mark.parametrize("width", [360, 640])
def test_it_fits_a_narrow_screen(gateway: RunningGateway, conductor: str, browse: Browse, width: int) -> None:
    """A phone, and a laptop at 200 %: nothing is wider than the screen, or so narrow that it cannot be read."""

    def steps(page: Page) -> None:
        page.set_viewport_size({"width": width, "height": 740})
        page.goto(gateway.url)
        expect(page.locator("tbody tr").first).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        open_process(page, gateway, conductor)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        page.locator(".ticks").hover(position={"x": width / 4, "y": 5})
        pointer, plot = page.locator(".pointer span").bounding_box(), page.locator(".plot").bounding_box()
        assert pointer is not None
        assert plot is not None
        assert plot["x"] <= pointer["x"]
        assert pointer["x"] + pointer["width"] <= plot["x"] + plot["width"]
        page.goto(f"{gateway.url}/docs")
        expect(page.locator("article").first).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert (
            page.evaluate("() => Math.min(...[...document.querySelectorAll('td')].map((td) => td.offsetWidth))") > 100
        )

    browse(steps)


def test_a_slash_leads_to_the_search(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Also where it has the focus already, as when the page opens; within a text that is typed it is a slash."""

    def steps(page: Page) -> None:
        page.goto(gateway.url)
        search = page.get_by_label("Search processes")
        expect(search).to_be_focused()
        page.keyboard.press("/")
        page.keyboard.type("opt/orchestra/cond")
        expect(search).to_have_value("opt/orchestra/cond")
        expect(page.locator("tbody strong")).to_have_text(["conductor"])
        page.get_by_role("button", name="Program").focus()
        for _ in range(2):
            page.keyboard.press("/")
            expect(search).to_be_focused()
            expect(search).to_have_value("opt/orchestra/cond")
        page.keyboard.type("podium")
        expect(search).to_have_value("podium")
        open_process(page, gateway, conductor)
        page.keyboard.press("/")
        expect(page.get_by_label("Filter threads")).to_be_focused()
        expect(page.get_by_label("Filter threads")).to_have_value("")

    browse(steps)


def test_threads_are_filtered_and_sorted(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """By name and id, and by when and how much they did; the trace is of all of them."""

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        names = page.locator(".rows .name > span")
        order = page.get_by_label("Sort threads by")
        for by, expected in {
            "First event": ["MainThread", "event loop", "worker-10", "worker-9"],
            "Last event": ["worker-9", "MainThread", "event loop", "worker-10"],
            "Most events": ["event loop", "MainThread", "worker-9", "worker-10"],
            "Name": ["MainThread", "worker-9", "worker-10", "event loop"],
        }.items():
            order.select_option(by)
            expect(names).to_have_text(expected)
        field = page.get_by_label("Filter threads")
        field.fill("102")
        expect(names).to_have_text(["worker-9"])
        field.fill("WORK 10")
        expect(names).to_have_text(["worker-10"])
        expect(page.locator(".gutter")).to_have_text("1 of 4")
        expect(page.locator(".estimate")).to_contain_text("in 3 threads and 1 async stream")
        page.wait_for_function("() => document.querySelector('.rows canvas').width > 0")
        field.fill("nothing of the kind")
        expect(names).to_have_count(0)
        expect(page.locator(".gutter")).to_have_text("0 of 4")
        field.fill("")
        expect(names).to_have_count(4)
        page.keyboard.press("f")
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")

    browse(steps)


def test_times_in_every_form(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """In the fields and in the address: from now, with an offset, or nothing, which is no limit."""
    process_id = record(client, Program({"main": [Job(0, 600_000)]}, start_ns=(time.time_ns() // 10**9 - 600) * 10**9))

    def steps(page: Page) -> None:
        open_process(page, gateway, process_id, "?begin=-2m")
        expect(page).to_have_url(re.compile(r"\?begin=[^&]*Z&end="))
        expect(page.locator(".length")).to_have_text(re.compile(r"^1 min|^2 min"))
        begin = page.get_by_label("Begin, UTC")
        begin.fill("now - 5m")
        begin.press("Enter")
        expect(page.locator(".length")).to_have_text(re.compile(r"^4 min|^5 min"))
        begin.fill("")
        begin.press("Enter")
        expect(page.locator(".length")).to_have_text("10 min")
        page.goto(f"{gateway.url}/#/process/{process_id}?begin=-1s&end=-1h")
        expect(page.get_by_text("Begin must not be after end")).to_be_visible()
        expect(page.get_by_role("button", name="Download")).to_be_disabled()

    browse(steps)


def test_properties_of_a_program_are_in_the_list(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """What it says of itself, beside its command line, without what every process has."""
    properties = {"service": "checkout", "command-line": "shop --port 1", "pid": "7", "python-version": "3.11"}
    record(client, Program({}, exe="/opt/shop", properties=properties))

    def steps(page: Page) -> None:
        page.goto(f"{gateway.url}/#/?search=checkout")
        expect(page.locator(".property")).to_have_text(["service=checkout"])
        expect(page.locator("tbody small.clipped")).to_have_text("service=checkoutshop --port 1")
        page.get_by_label("Search processes").fill("service=checkout")
        expect(page.get_by_role("status")).to_have_text("1\u20131 of 1")
        expect(page.locator(".property")).to_have_count(1)

    browse(steps)


def test_those_who_want_it_see_no_motion(gateway: RunningGateway, browse: Browse) -> None:
    """A bar that does not know how far it is stands still for them."""

    def steps(page: Page) -> None:
        page.goto(gateway.url)
        page.evaluate("() => document.querySelector('main').append(document.createElement('progress'))")
        bar = page.locator("progress")
        expect(bar).to_have_css("animation-name", "waiting")
        page.emulate_media(reduced_motion="reduce")
        expect(bar).to_have_css("animation-name", "none")

    browse(steps)
