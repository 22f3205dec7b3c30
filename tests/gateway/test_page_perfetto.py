"""A trace that the page hands over to the Perfetto UI."""

from itertools import chain

import pytest
from playwright.sync_api import Page, expect

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.server.lifecycle import RunningServer
from tests.gateway.browser import Browse, chosen_range, drag, open_process
from tests.gateway.conftest import SECONDS
from tests.gateway.recorded import MS, Job, Program, job_events, record

pytestmark = pytest.mark.browser

SLICES = "SELECT ts, dur, name FROM slice ORDER BY ts, dur, name"


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


def test_a_program_of_fifty_threads(gateway: RunningGateway, client: QueryClient, browse: Browse) -> None:
    """Its whole life, under its name, with every thread, in a copy of the Perfetto UI that is allowed to ask nobody."""
    jobs = [Job(20 * number, 20 * number + 15, steps=9) for number in range(5)]
    process_id = record(client, Program({f"stage-{number}": jobs for number in range(55)}, exe="/opt/fifty"))
    count = "async (sql) => (await app.trace.engine.query(sql)).firstRow({n: 0}).n"

    def steps(page: Page) -> None:
        answered: list[str] = []
        page.context.on("response", lambda response: answered.append(response.url))
        open_process(page, gateway, process_id)
        with page.expect_popup() as popup:
            page.get_by_role("button", name="Open in Perfetto").click()
        opened = popup.value
        opened.wait_for_function("() => window.app?.trace")
        opened.wait_for_selector(".pf-track")
        assert opened.evaluate(count, "SELECT count(*) AS n FROM slice") == 55 * 5 * 10
        assert opened.evaluate(count, "SELECT count(*) AS n FROM thread WHERE name LIKE 'stage-%'") == 55
        assert opened.title().startswith("fifty 2026-01-01 10:00:00.000 to 10:00:00.095")
        assert [url for url in answered if not url.startswith((gateway.url, "blob:", "data:"))] == []
        # The page keeps the trace: the file is that one, whatever the other window has been given.
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.path().read_bytes() == client.trace(process_id)

    browse(steps)


def test_windows_that_do_not_open(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """Blocked, closed too early, or of somebody who does not answer: each is said, and can be tried again."""

    def steps(page: Page) -> None:
        page.clock.install()
        settings = {"perfetto_ui": "/health", "bundled_ui": None, "version": "0"}
        page.route("**/api/settings", lambda route: route.fulfill(json=settings))
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
        host = gateway.url.removeprefix("http://")
        page.clock.run_for(6_000)
        expect(page.get_by_text(f"Waiting for {host}, which has not answered yet.")).to_be_visible()
        expect(page.get_by_text("This server has no copy of it: install flightsrv[perfetto-ui]")).to_be_visible()
        page.clock.run_for(55_000)
        expect(page.get_by_role("alert")).to_have_text(f"{host} did not answer within a minute.")

    browse(steps)


def test_a_perfetto_ui_that_cannot_be_reached(server: RunningServer, conductor: str, browse: Browse) -> None:
    """The page says so after seconds rather than a minute, and the copy of the gateway takes its place with a click."""

    def steps(page: Page) -> None:
        page.context.route("https://ui.perfetto.dev/**", lambda route: route.abort("internetdisconnected"))
        open_process(page, gateway, conductor)
        with page.expect_popup() as unreachable:
            page.get_by_role("button", name="Open in Perfetto").click()
        expect(page.get_by_text("Waiting for ui.perfetto.dev, which has not answered yet.")).to_be_visible()
        with page.expect_popup() as popup:
            page.get_by_role("button", name="Open in the bundled Perfetto UI").click()
        expect(page.get_by_text("The Perfetto UI has the trace")).to_be_visible()
        assert popup.value.url.startswith(f"{gateway.url}/perfetto/")
        assert unreachable.value.is_closed()

    with running_gateway(server.url, GatewaySettings(port=0)) as gateway:
        browse(steps)


NODES = """() => app.trace.workspace.flatTracks.map((node) => [node.name, node.expanded, node.hasChildren])"""


@pytest.mark.parametrize(
    ("exe", "command_line", "name"),
    [
        ("/usr/bin/python3", "/usr/bin/python3 jobs/svc.py --port 1", "svc.py"),
        ("/opt/a+b (c)/ta*sk $1 ü", "", "ta*sk $1 ü"),
    ],
)
def test_a_process_is_expanded_under_the_name_of_its_program(
    gateway: RunningGateway, client: QueryClient, browse: Browse, exe: str, command_line: str, name: str
) -> None:
    """So that its threads are seen at once, whatever is in the name."""
    properties = {"pid": "1234", "command-line": command_line}
    process_id = record(client, Program({"main": [Job(0, 100)]}, [Job(0, 9)], exe=exe, properties=properties))

    def steps(page: Page) -> list[list[object]]:
        open_process(page, gateway, process_id)
        with page.expect_popup() as popup:
            page.get_by_role("button", name="Open in Perfetto").click()
        opened = popup.value
        opened.wait_for_function("() => window.app?.trace")
        opened.get_by_text("main 100").first.wait_for()
        nodes: list[list[object]] = opened.evaluate(NODES)
        return nodes

    assert [f"{name} 1234", True, True] in browse(steps)
