"""What a thread was doing at a time, and the attributes of its spans: `GET /api/processes/{process_id}/spans` and
`/attributes`, and on the page."""

import json
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.gateway.browser import Browse, open_process
from tests.gateway.http import Answer, ask
from tests.gateway.recorded import Job, Program, record

NOTED = {"sql": "SELECT '3'", "rows": 3, "share": 0.5, "cached": True, "plan": {"scan": [1, 2]}, "count": "3"}


@pytest.fixture(scope="module")
def noting(client: QueryClient) -> str:
    """A process with a job of ten seconds, of which there are notes, and in its middle a step."""
    return record(client, Program({"db": [Job(0, 9_000, 1, NOTED)], "idle": [Job(0, 1)]}, [Job(0, 8_000)]))


def found(gateway: RunningGateway, path: str, **parameters: object) -> Answer:
    return ask(f"{gateway.url}/api/processes/{path}?{urlencode(parameters)}")


def stream_of(gateway: RunningGateway, process_id: str, name: str) -> str:
    threads = ask(f"{gateway.url}/api/processes/{process_id}/threads").json["threads"]
    [stream_id] = [thread["stream_id"] for thread in threads if thread["name"] == name]
    assert isinstance(stream_id, str)
    return stream_id


def test_spans_at_a_time(gateway: RunningGateway, noting: str) -> None:
    """The outermost first, with what is known of each but its attributes."""
    at = "2026-01-01T10:00:04.5Z"
    [job, step] = found(gateway, f"{noting}/spans", stream_id=stream_of(gateway, noting, "db"), at=at).json["spans"]
    assert (job["name"], job["depth"], job["id"]) == ("job", 0, "0")
    assert (job["begin"], job["end"]) == ("2026-01-01T10:00:00.000000000Z", "2026-01-01T10:00:09.000000000Z")
    assert (step["name"], step["target"], step["filename"], step["line"]) == ("step", "app.jobs", "jobs.py", 20)
    idle = {"stream_id": stream_of(gateway, noting, "idle"), "at": at}
    assert found(gateway, f"{noting}/spans", **idle).json == {"spans": []}
    [request] = found(gateway, f"{noting}/spans", stream_id=stream_of(gateway, noting, "event loop"), at=at).json[
        "spans"
    ]
    assert (request["name"], request["id"]) == ("job", "1")


def test_attributes_have_types(gateway: RunningGateway, noting: str) -> None:
    """Those that they were noted with: a text of digits is no number."""
    of_job = {"stream_id": stream_of(gateway, noting, "db"), "span_id": 0, "at": "2026-01-01T10:00:04.5Z"}
    attributes = found(gateway, f"{noting}/attributes", **of_job).json["attributes"]
    plan = attributes[4].pop("value")
    assert json.loads(plan) == NOTED["plan"]
    assert [tuple(attribute.values()) for attribute in attributes] == [
        ("sql", "text", "SELECT '3'"),
        ("rows", "integer", "3"),
        ("share", "float", "0.5"),
        ("cached", "boolean", "true"),
        ("plan", "json"),
        ("count", "text", "3"),
    ]
    later = {**of_job, "at": "2026-01-01T10:00:10Z"}
    assert found(gateway, f"{noting}/attributes", **later).json == {"attributes": []}


def test_what_is_wrong_is_said(gateway: RunningGateway, noting: str) -> None:
    """A process that is unknown, a stream of another, a time that is none, an id that does not fit."""
    of_job: dict[str, object] = {"stream_id": stream_of(gateway, noting, "db"), "span_id": 0, "at": "-1s"}
    assert found(gateway, "unknown/attributes", **of_job).status == 404
    for path, wrong, status, complaint in (
        ("attributes", {"stream_id": "none"}, 400, "stream_id must be that of a stream of the process, given: 'none'"),
        ("attributes", {"at": "noon"}, 400, "at must be a time"),
        ("attributes", {"span_id": 1 << 63}, 422, "query.span_id"),
        ("spans", {"span_id": "0"}, 422, "query.span_id: Unknown"),
    ):
        answer = found(gateway, f"{noting}/{path}", **{**of_job, **wrong})
        assert (answer.status, complaint in answer.json["message"]) == (status, True)


@pytest.mark.browser
def test_a_click_shows_what_a_thread_was_doing(gateway: RunningGateway, noting: str, browse: Browse) -> None:
    """Its spans then; what was noted of one is asked for when it is opened, and not before. The range stays."""

    def steps(page: Page) -> None:
        asked: list[str] = []
        page.on("request", lambda request: "/attributes?" in request.url and asked.append(request.url))
        open_process(page, gateway, noting, "?begin=2026-01-01T10:00:01Z&end=2026-01-01T10:00:08Z")
        row = page.locator(".rows li", has_text="db").locator("canvas").bounding_box()
        assert row is not None
        page.mouse.click(row["x"] + row["width"] / 2, row["y"] + 10)
        moment = page.get_by_label("Spans of a thread at a time")
        expect(moment.get_by_role("status")).to_contain_text("db at 2026-01-01 10:00:04.")
        expect(moment.locator("summary strong")).to_have_text(["job", "step"])
        expect(page.get_by_label("Begin, UTC")).to_have_value("2026-01-01 10:00:01")
        assert asked == []
        moment.locator("summary").first.click()
        values = {"text": ["SELECT '3'", "3"], "integer": ["3"], "float": ["0.5"], "boolean": ["true"]}
        for kind, texts in values.items():
            expect(moment.locator(f"dd.{kind}")).to_have_text(texts)
        expect(moment.locator("dd.json")).to_contain_text('"scan"')
        assert len(asked) == 1
        moment.locator("summary").last.click()
        expect(moment.get_by_text("No attributes")).to_be_visible()
        page.locator(".rows li", has_text="idle").locator("canvas").click()
        expect(moment).to_contain_text("no spans")
        moment.get_by_role("button", name="Close").click()
        expect(moment).to_be_hidden()

    browse(steps)
