"""Pictures of the page, to be looked at: `python -m tests.gateway.screenshots FOLDER`.

`docs/page.png` is the picture `process-light.png`.
"""

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from playwright.sync_api import Page, sync_playwright

from flightsrv.client import QueryClient, connect
from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway
from flightsrv.server.lifecycle import running_server
from tests.client.fake_server import Chunk, Failure, Message, Wait
from tests.gateway.interposed import Interposed, interposed
from tests.gateway.recorded import START_NS, Job, Program, record
from tests.support.debian import find_program

MINUTE_NS = 60_000_000_000
TOLD = {
    "type": "progress",
    "message": "Processing thread 9/21: tile-worker-2",
    "threads_done": 7,
    "threads_total": 21,
    "nb_spans": 5210,
}
WIDE, NARROW = {"width": 1180, "height": 720}, {"width": 390, "height": 780}


def busy_program() -> Program:
    """Two minutes of a program with pools of threads, each busy in its own way."""
    dice = random.Random(7)

    def jobs(pause_ms: float, work_ms: float, until_ms: float = 120_000) -> list[Job]:
        found, now_ms = [], dice.uniform(0, pause_ms)
        while now_ms < until_ms:
            length_ms = dice.expovariate(1 / work_ms)
            found.append(Job(now_ms, min(now_ms + length_ms, until_ms), steps=dice.randint(1, 60)))
            now_ms += length_ms + dice.expovariate(1 / pause_ms)
        return found

    threads = {"MainThread": jobs(2_000, 9_000), "scheduler": jobs(400, 300), "garbage collector": jobs(9_000, 700)}
    threads |= {f"reader-{number}": jobs(3_000, 1_500, 70_000) for number in range(1, 5)}
    threads |= {f"tile-worker-{number}": jobs(2_500, 4_000) for number in range(1, 9)}
    threads |= {f"compress-{number}": jobs(12_000, 5_000) for number in range(1, 5)}
    threads |= {"uploader": jobs(20_000, 2_000), "metrics": jobs(5_000, 50)}
    requests = [Job(at := dice.uniform(0, 119_000), at + dice.uniform(10, 900)) for _ in range(800)]
    return Program(
        threads,
        requests,
        exe="/opt/tiles/bin/tile-renderer",
        computer="render-03",
        properties={
            "command-line": "/opt/tiles/bin/tile-renderer --pool 8 --zoom 4-14 --queue tiles",
            "pid": "41873",
            "service": "tiles",
        },
        unfinished={"uploader": 119_999, "reader-4": 86_000},
    )


def fill(client: QueryClient) -> str:
    """Processes as a small cluster has them; returns the id of the busy one."""
    dice = random.Random(3)
    programs = [
        "/usr/bin/python3 -m ingest.worker --shard {}",
        "/opt/tiles/bin/tile-renderer --pool {}",
        "/usr/sbin/queued -c {}",
    ]
    for number in range(60):
        command = dice.choice(programs).format(dice.randint(1, 32))
        start_ns = START_NS - number * 37 * MINUTE_NS - dice.randrange(MINUTE_NS)
        host = f"{dice.choice(['render', 'ingest'])}-{dice.randint(1, 9):02}"
        properties = {"command-line": command, "pid": str(dice.randint(300, 65_000))}
        record(client, Program({}, exe=command.split()[0], start_ns=start_ns, computer=host, properties=properties))
    busy = record(client, busy_program())
    noted = {"path": "/tiles/12/2200/1343.png", "rows": 3, "cached": False, "zoom": {"from": 4, "to": 14}}
    spans = [Job(900 * number, 900 * number + 700, 9, noted) for number in range(90)]
    encoder = Program({"encode-1": spans}, exe="/opt/tiles/bin/encoder", computer="render-03", parent=busy)
    record(client, encoder)
    return busy


@contextmanager
def pages(dark: bool, size: dict[str, int]) -> Iterator[Page]:
    """A page in a new browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
        page.on("pageerror", lambda error: print("page error:", error))
        page.on("console", lambda message: message.type == "error" and print("console:", message.text))
        yield page
        browser.close()


def choose_range(page: Page, begin: float, end: float) -> None:
    """Drag over the timeline, from and to shares of its width."""
    box = page.locator(".plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + begin * box["width"], box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 120, steps=5)
    page.mouse.up()


def take(page: Page, url: str, process_id: str, folder: Path, name: str) -> None:
    """The list, a search without hits, a process, a range of it; with its child, and what that was doing."""
    page.goto(f"{url}/#/?search=bassoon")
    page.get_by_text("No process matches").wait_for()
    page.screenshot(path=folder / f"nothing-{name}.png")
    page.goto(f"{url}/#/")
    page.wait_for_selector("tbody tr")
    page.screenshot(path=folder / f"list-{name}.png")
    page.goto(f"{url}/#/process/{process_id}")
    page.wait_for_selector(".rows li")
    choose_range(page, 0.35, 0.62)
    page.mouse.move(0, 0)
    page.wait_for_selector(".estimate strong")
    page.get_by_text("open since").first.wait_for(state="attached")
    page.screenshot(path=folder / f"process-{name}.png")
    page.get_by_role("button", name="Show with its children").click()
    page.locator(".process", has_text="encoder").wait_for(state="attached")
    page.get_by_label("Filter threads").fill("encode")
    page.locator("canvas").first.click()
    page.locator(".moment summary").first.click()
    page.wait_for_selector(".moment dd")
    page.screenshot(path=folder / f"several-{name}.png")
    page.goto(f"{url}/#/?search=tiles")
    page.get_by_role("button", name="+ 1 child").click()
    page.get_by_text("2 chosen").wait_for()
    page.screenshot(path=folder / f"chosen-{name}.png")
    page.goto(f"{url}/#/process/{process_id}")
    page.wait_for_selector(".estimate strong")


def take_states(page: Page, between: Interposed, folder: Path, name: str) -> None:
    """A trace under way, one that failed, one that lacks threads, one that no window opened for, one for a Perfetto UI
    that does not answer."""
    download = page.get_by_role("button", name="Download")
    between.script = (Message(TOLD), Chunk(0, bytes(40_000)), Chunk(1, bytes(21_000)), Wait())
    download.click()
    page.get_by_text("kB of about").wait_for()
    page.wait_for_timeout(700)
    page.screenshot(path=folder / f"progress-{name}.png")
    page.get_by_role("button", name="Cancel").click()
    between.script = (Chunk(0, b"names"), Failure(pa.ArrowInvalid("a thread was asked for that there is not")))
    download.click()
    page.wait_for_selector(".state.failed")
    page.screenshot(path=folder / f"error-{name}.png")
    corrupt = "block 4f7c02ac is corrupt: its 300 bytes are not the 2160 bytes that were acknowledged"
    failed = {"type": "thread_failed", "stream_id": "uploader", "message": corrupt}
    lost = {"type": "events_lost", "stream_id": "uploader", "nb_events": 1204}
    dropped = {"type": "spans_dropped", "stream_id": "uploader", "nb_spans": 52_300}
    between.script = (Chunk(0, bytes(150_000)), *map(Message, (failed, lost, dropped)))
    download.click()
    page.get_by_text("could not be read").wait_for()
    page.screenshot(path=folder / f"warned-{name}.png")
    page.evaluate("() => (window.open = () => null)")
    page.get_by_role("button", name="Open in Perfetto").click()
    page.get_by_role("button", name="Open the trace now").wait_for()
    page.screenshot(path=folder / f"blocked-{name}.png")
    page.evaluate("() => (window.open = () => ({ closed: false, postMessage() {}, close() {} }))")
    page.get_by_role("button", name="Open the trace now").click()
    page.get_by_text("has not answered yet").wait_for()
    page.screenshot(path=folder / f"slow-{name}.png")
    page.get_by_role("button", name="Cancel").click()


def take_large(page: Page, url: str, process_id: str, folder: Path, name: str) -> None:
    """Hundreds of threads, those that were filtered, and a time that cannot be understood."""
    page.goto(f"{url}/#/process/{process_id}")
    page.wait_for_selector(".estimate strong")
    page.screenshot(path=folder / f"threads-{name}.png")
    page.get_by_label("Filter threads").fill("pool-7 worker-4")
    page.get_by_label("Sort threads by").select_option("Most events")
    page.get_by_label("Begin, UTC").fill("half past ten")
    page.get_by_label("Begin, UTC").press("Enter")
    page.wait_for_selector(".estimate.error")
    page.screenshot(path=folder / f"filtered-{name}.png")


def main(folder: Path) -> None:
    """All pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as lake,
        running_server(lake) as server,
        interposed(server.url) as between,
        running_gateway(between.url, GatewaySettings(port=0)) as gateway,
    ):
        with pages(False, WIDE) as page:
            page.goto(gateway.url)
            page.wait_for_selector(".empty:not([hidden])")
            page.screenshot(path=folder / "empty-light.png")
        with connect(server.url) as client:
            process_id = fill(client)
            names = [
                f"pool-{pool} worker-{number} of a pool with a long name" for pool in range(10) for number in range(50)
            ]
            large = record(
                client, Program({name: [Job(n, 500 + n, n % 7)] for n, name in enumerate(names)}, exe="/opt/pools")
            )
        for name, dark, size in (("light", False, WIDE), ("dark", True, WIDE), ("narrow", False, NARROW)):
            with pages(dark, size) as page:
                take(page, gateway.url, process_id, folder, name)
                take_states(page, between, folder, name)
                take_large(page, gateway.url, large, folder, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
