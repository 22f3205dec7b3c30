"""A trace that is made from the page: progress, files, and what can go wrong on the way."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.auth.settings import SecuritySettings
from flightsrv.policy.auth.tokens import Tokens
from flightsrv.server.lifecycle import RunningServer, ServerSettings, running_server
from tests.client.fake_server import Chunk, Message, Wait
from tests.gateway.browser import Browse, chosen_range, drag, open_process
from tests.gateway.conftest import SMALL, Slowed
from tests.gateway.http import ask
from tests.gateway.interposed import interposed
from tests.gateway.recorded import Job, Program, record
from tests.gateway.test_generate import progress

pytestmark = pytest.mark.browser


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


def test_a_file_is_called_by_the_name_of_the_program(
    gateway: RunningGateway, client: QueryClient, browse: Browse
) -> None:
    """In any script, and by as much of the time as is needed."""
    process_id = record(client, Program({"основной": [Job(0, 3)]}, exe="/opt/サーバー Ü/данные 7"))

    def steps(page: Page) -> None:
        open_process(page, gateway, process_id)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "данные_7_2026-01-01_10_00_00.000_to_10_00_00.003.pftrace"

    browse(steps)


def test_no_estimate_is_waited_for(gateway: RunningGateway, conductor: str, browse: Browse) -> None:
    """A trace can be made before its size is known."""

    def steps(page: Page) -> None:
        page.route("**/info?**", lambda route: None)
        page.goto(f"{gateway.url}/#/process/{conductor}?begin=2026-01-01T10:00:00.3Z&end=2026-01-01T10:00:00.5Z")
        expect(page.locator(".estimate")).to_have_text("Estimating …")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "conductor_2026-01-01_10_00_00.300_to_10_00_00.500.pftrace"

    browse(steps)


def test_progress_and_cancel(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """What the server says is shown while it works; cancelling stops it, and the trace can be asked for again."""
    between, gateway = slowed(progress("Processing thread 1/2: MainThread", 1), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text("Processing thread 1/2: MainThread")).to_be_visible()
        expect(page.get_by_text("1 of 2 threads · 10 spans")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.5)
        assert not between.abandoned.is_set()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled.")).to_be_visible()
        assert between.abandoned.wait(30)
        between.is_healed = True
        with page.expect_download():
            page.get_by_role("button", name="Download").click()

    browse(steps)


def test_bytes_are_progress_too(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """Shown against the estimate; leaving the page stops the server as well."""
    between, gateway = slowed(Chunk(0, b"names"), Chunk(1, bytes(2000)), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text(re.compile(r"2 kB of about \d"))).to_be_visible()
        page.get_by_role("link", name="Processes").click()
        assert between.abandoned.wait(30)

    browse(steps)


def test_progress_goes_on_among_the_bytes(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """Thread by thread, not by the estimate alone."""
    _, gateway = slowed(Chunk(0, b"names"), Chunk(1, bytes(9)), progress("Processing thread 2/2: b", 1), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text("Processing thread 2/2: b")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.5)

    browse(steps)


def test_progress_can_be_seen(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """Also where the page is longer than the screen."""
    _, gateway = slowed(progress("Processing thread 1/2: MainThread", 1), Wait())

    def steps(page: Page) -> None:
        page.set_viewport_size({"width": 390, "height": 500})
        open_process(page, gateway, conductor)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_role("progressbar")).to_be_in_viewport()
        expect(page.get_by_role("button", name="Cancel")).to_be_in_viewport()

    browse(steps)


def test_another_choice_stops_what_is_made(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """It would be of no use, and says nothing any more."""
    between, gateway = slowed(progress("Processing thread 1/2: MainThread", 1), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_text("Processing thread 1/2: MainThread")).to_be_visible()
        drag(page, 0.2, 0.4)
        assert between.abandoned.wait(30)
        expect(page.locator(".state")).to_have_class("state idle")
        between.is_healed = True
        with page.expect_download():
            page.get_by_role("button", name="Download").click()

    browse(steps)


def test_a_trace_that_is_missing_something(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """Threads that could not be read are named, events that were lost are counted; there is a file all the same."""
    failed = {"type": "thread_failed", "message": "block 7 is corrupt"}
    unknown = [{**failed, "stream_id": f"stream-{number}"} for number in range(6)]
    script = [
        Chunk(0, b"names"),
        *(Message(message) for message in unknown),
        Message({"type": "events_lost", "stream_id": "x", "nb_events": 1200}),
        Message({"type": "spans_dropped", "stream_id": "x", "nb_spans": 3400}),
    ]
    between, gateway = slowed()
    threads = ask(f"{gateway.url}/api/processes/{conductor}/threads").json["threads"]
    [worker] = [thread["stream_id"] for thread in threads if thread["name"] == "worker-9"]
    between.script = (*script[:1], Message({**failed, "stream_id": worker}), *script[1:])

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        with page.expect_download():
            page.get_by_role("button", name="Download").click()
        warnings = page.get_by_role("alert")
        expect(warnings).to_contain_text("7 threads could not be read and are missing:")
        expect(warnings.get_by_role("listitem")).to_have_text(
            [
                "worker-9: block 7 is corrupt",
                *(f"stream-{number}: block 7 is corrupt" for number in range(4)),
                "2 others",
            ]
        )
        expect(warnings).to_contain_text("1,200 events were lost; the trace shows where.")
        expect(warnings).to_contain_text(
            "3,400 spans dropped while recording, for lack of memory; the trace shows where."
        )

    browse(steps)


@contextmanager
def mortal_server(server_url: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server in a process of its own that stops half way through any trace."""
    program = (
        "import sys\n"
        "from tests.gateway.interposed import *\n"
        "with interposed(sys.argv[1], Chunk(0, b'names'), Chunk(1, bytes(2000)), Wait()) as between:\n"
        "    print(between.url, flush=True)\n"
        "    between.abandoned.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, server_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_server_that_dies_half_way(server: RunningServer, conductor: str, browse: Browse) -> None:
    """The page says so, and there is no file; when the server is back, there is one."""
    with mortal_server(server.url) as (process, url), running_gateway(url, GatewaySettings(port=0)) as gateway:

        def steps(page: Page) -> None:
            open_process(page, gateway, conductor)
            downloads: list[object] = []
            page.on("download", lambda download: downloads.append(download))
            page.get_by_role("button", name="Download").click()
            expect(page.get_by_text("2 kB of about")).to_be_visible()
            process.kill()
            process.wait()
            expect(page.get_by_role("alert")).to_contain_text(
                "The trace could not be finished. The Flight SQL server is unreachable or busy: "
            )
            with interposed(server.url, port=int(url.rpartition(":")[2])) as revived:
                revived.is_healed = True
                while ask(f"{gateway.url}/api/processes").status == 503:  # it tries again after a second or so
                    pass
                with page.expect_download():
                    page.get_by_role("button", name="Try again").click()
            assert len(downloads) == 1

        browse(steps)


def test_a_gateway_that_dies_half_way(server: RunningServer, conductor: str, browse: Browse) -> None:
    """The page says so, and there is no file."""
    with interposed(server.url, Chunk(0, b"names"), Chunk(1, bytes(2000)), Wait()) as between:
        command = [sys.executable, "-m", "flightsrv", "gateway", "--url", between.url, "--http-port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()

            def steps(page: Page) -> None:
                downloads: list[object] = []
                page.on("download", lambda download: downloads.append(download))
                page.goto(f"{url}/#/process/{conductor}")
                page.get_by_role("button", name="Download").click()
                expect(page.get_by_text("2 kB of about")).to_be_visible()
                process.kill()
                expect(page.get_by_role("alert")).to_contain_text("The connection broke before the trace was whole.")
                page.get_by_role("button", name="Try again").click()
                expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
                assert downloads == []

            try:
                browse(steps)
            finally:
                process.kill()


def test_by_keyboard_alone(slowed: Slowed, conductor: str, browse: Browse) -> None:
    """Start, cancel and start again: the focus stays where it was, and what happens is read aloud."""
    between, gateway = slowed(progress("Processing thread 1/2: MainThread", 1), Wait())

    def steps(page: Page) -> None:
        open_process(page, gateway, conductor)
        spoken = page.locator(".state").get_by_role("status")
        button = page.get_by_role("button", name="Download")
        for _ in range(30):
            page.keyboard.press("Tab")
            if button.evaluate("(button) => button === document.activeElement"):
                break
        page.keyboard.press("Enter")
        expect(spoken).to_have_text("Making the trace")
        expect(button).to_be_disabled()
        expect(button).to_be_focused()
        page.keyboard.press("Escape")
        expect(spoken).to_have_text("Cancelled.")
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Open in Perfetto")).to_be_focused()
        between.is_healed = True
        page.keyboard.press("Tab")
        with page.expect_download():
            page.keyboard.press("Enter")
        expect(spoken).to_contain_text("is in your downloads.")

    browse(steps)


def test_a_server_that_asks_who_calls(tmp_path: Path, browse: Browse) -> None:
    """The browser asks the person, and says it with every request, also for traces."""
    tokens, token = Tokens().with_new(Principal("ada", frozenset({Role.ADMIN})))
    settings = ServerSettings(security=SecuritySettings(tokens))
    with (
        running_server(str(tmp_path / "lake"), settings=settings) as server,
        running_gateway(server.url, GatewaySettings(port=0)) as gateway,
        QueryClient(server.url, token) as client,
    ):
        process_id = record(client, SMALL)

        def steps(page: Page) -> None:
            browser = page.context.browser
            assert browser is not None
            with browser.new_context(http_credentials={"username": "ada", "password": "wrong"}) as unknown:
                page = unknown.new_page()
                page.goto(gateway.url)
                expect(page.get_by_role("alert")).to_contain_text("token")
            with browser.new_context(http_credentials={"username": "ada", "password": token}) as known:
                page = known.new_page()
                open_process(page, gateway, process_id)
                with page.expect_download():
                    page.get_by_role("button", name="Download").click()

        browse(steps)
