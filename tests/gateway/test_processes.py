"""`GET /api/processes` and what is known of one process."""

from urllib.parse import quote

import pytest

from flightsrv.client import QueryClient
from flightsrv.gateway.lifecycle import RunningGateway
from tests.gateway.http import ask
from tests.gateway.recorded import START_NS, Program, record

DAY_NS = 86_400_000_000_000
MARK = "quartet"
"""A word in the properties of the processes of this module, of which the lake has others."""


@pytest.fixture(scope="module")
def quartet(client: QueryClient) -> dict[str, str]:
    """Four processes: exe to id, in order of their start."""
    names = ["/bin/viola", "/bin/cello", "/bin/it's 100%_violin", "/bin/Geige Ü"]
    return {
        exe: record(
            client,
            Program({}, exe=exe, start_ns=START_NS + number * DAY_NS, computer="hall", properties={"group": MARK}),
        )
        for number, exe in enumerate(names)
    }


def found(gateway: RunningGateway, query: str) -> list[str]:
    """The programs that a query finds, in order."""
    answer = ask(f"{gateway.url}/api/processes?{query}")
    assert answer.status == 200
    return [process["exe"].removeprefix("/bin/") for process in answer.json["processes"]]


def test_the_last_one_comes_first(gateway: RunningGateway, quartet: dict[str, str]) -> None:
    """Unless told otherwise; all columns are there."""
    answer = ask(f"{gateway.url}/api/processes?search={MARK}").json
    assert answer["total"] == 4
    assert [process["process_id"] for process in answer["processes"]] == list(quartet.values())[::-1]
    first = answer["processes"][-1]
    assert first["start_time"] == "2026-01-01T10:00:00.000000000Z"
    assert (first["username"], first["computer"], first["properties"]) == ("ada", "hall", {"group": MARK})


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("VIO", ["it's 100%_violin", "viola"]),
        ("vio hall a", ["it's 100%_violin", "viola"]),
        ("it's", ["it's 100%_violin"]),
        ("%", ["it's 100%_violin"]),
        ("geige ü", ["Geige Ü"]),
        ("group=quar VIOLA", ["viola"]),
        ("group=tet cello hall", ["cello"]),
        ("GROUP=quartet", []),
        ("group=viola", []),
        ("=", []),
        ("a=b=c", []),
        ("' OR 1=1 --", []),
        ("trombone", []),
    ],
)
def test_search_finds_words_anywhere(
    gateway: RunningGateway, quartet: dict[str, str], search: str, expected: list[str]
) -> None:
    """All of them, in any column, whatever their case, and nothing in them means anything."""
    assert found(gateway, f"search={quote(f'{MARK} {search}')}") == expected


@pytest.mark.usefixtures("quartet")
def test_sort_and_pages(gateway: RunningGateway) -> None:
    """By a column, one way or the other; pages follow one another."""
    by_exe = f"search={MARK}&sort=exe&order=asc"
    assert found(gateway, by_exe) == ["Geige Ü", "cello", "it's 100%_violin", "viola"]
    assert found(gateway, f"{by_exe}&limit=3") + found(gateway, f"{by_exe}&limit=3&offset=3") == found(gateway, by_exe)
    beyond = ask(f"{gateway.url}/api/processes?search={MARK}&offset=10").json
    assert beyond == {"processes": [], "total": 4}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "offset=-1", "sort=exe;DROP", "order=up", f"search={'x' * 201}"]
)
def test_bad_arguments_are_refused(gateway: RunningGateway, query: str) -> None:
    """And named."""
    answer = ask(f"{gateway.url}/api/processes?{quote(query, safe='=')}")
    assert answer.status == 422
    assert answer.json["message"].startswith(f"query.{query.partition('=')[0]}: ")


def test_what_a_process_started(gateway: RunningGateway, client: QueryClient) -> None:
    """And what that started, once each, in the order of their start, however ids of parents go round."""
    ids = {name: f"family-{name}" for name in ("grandmother", "mother", "aunt", "child")}
    parents = {"grandmother": "child", "mother": "grandmother", "aunt": "grandmother", "child": "mother"}
    for number, (name, process_id) in enumerate(ids.items()):
        program = Program({}, exe=f"/bin/{name}", start_ns=START_NS + number, parent=ids[parents[name]])
        record(client, program, process_id)
    url = f"{gateway.url}/api/processes/{ids['grandmother']}"
    assert ask(url).json["nb_children"] == 2
    below = ask(f"{url}/descendants").json
    assert [process["program"] for process in below["processes"]] == ["mother", "aunt", "child"]
    some = ask(f"{url}/descendants?limit=1").json
    assert (some["processes"], some["total"]) == (below["processes"][:1], 3)
    assert ask(f"{gateway.url}/api/processes/{ids['aunt']}/descendants").json == {"processes": [], "total": 0}
    assert ask(f"{gateway.url}/api/processes/unknown/descendants").status == 404


def test_one_process(gateway: RunningGateway, quartet: dict[str, str]) -> None:
    """By its id; one that is unknown is not found."""
    process_id = quartet["/bin/viola"]
    assert ask(f"{gateway.url}/api/processes/{process_id}").json["exe"] == "/bin/viola"
    unknown = ask(f"{gateway.url}/api/processes/nobody")
    assert (unknown.status, unknown.json["message"]) == (404, "there is no process 'nobody'")
