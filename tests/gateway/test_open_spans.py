"""`GET /api/processes/{process_id}/open_spans`: what threads were doing at the end."""

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.gateway.http import ask
from tests.gateway.recorded import Job, Program, record

STUCK = Program(
    {"busy": [Job(0, 1000)], "stuck": [Job(0, 100)], "new": []},
    [Job(0, 50)],
    unfinished={"stuck": 200, "new": 999},
)


def test_open_spans_by_thread(gateway: RunningGateway, client: QueryClient) -> None:
    """Since when, how many, and what the innermost is; however long ago they began. Others are not listed."""
    process_id = record(client, STUCK)
    threads = ask(f"{gateway.url}/api/processes/{process_id}/threads").json["threads"]
    names = {thread["stream_id"]: thread["name"] for thread in threads}
    answer = ask(f"{gateway.url}/api/processes/{process_id}/open_spans")
    assert answer.status == 200
    assert {names[span.pop("stream_id")]: span for span in answer.json["open_spans"]} == {
        "stuck": {"begin": "2026-01-01T10:00:00.200000000Z", "nb_spans": 2, "name": "step"},
        "new": {"begin": "2026-01-01T10:00:00.999000000Z", "nb_spans": 2, "name": "step"},
    }


def test_a_process_in_which_nothing_is_open(gateway: RunningGateway, client: QueryClient, small: str) -> None:
    """Because everything has ended, or nothing ever began."""
    idle = record(client, Program({"idle": []}))
    for process_id in (small, idle):
        assert ask(f"{gateway.url}/api/processes/{process_id}/open_spans").json == {"open_spans": []}


def test_an_unknown_process_is_not_found(gateway: RunningGateway) -> None:
    """In words."""
    assert ask(f"{gateway.url}/api/processes/nobody/open_spans").status == 404
