"""Processes by the first characters of their ids."""

from collections.abc import Iterable

import pytest

from flightsrv import telemetry
from flightsrv.client import InvalidRequest, NotFound, QueryClient
from flightsrv.client.process_ids import MAX_CANDIDATES, whole_process_id


def add_processes(client: QueryClient, process_ids: Iterable[str], **parents: str) -> None:
    """Processes that start one second after the other, those that are named with the parents that are given."""
    processes = [
        telemetry.Process(
            process_id, 1_000, number * 10**9, 0, exe="/opt/program", parent_process_id=parents.get(process_id)
        )
        for number, process_id in enumerate(process_ids)
    ]
    client.ingest("processes", telemetry.processes_batch(processes))


def test_the_first_characters_are_enough(client: QueryClient, process_id: str) -> None:
    """Where no other process has the same; also to fetch a trace in each way."""
    assert whole_process_id(client.query, process_id[:13]) == process_id
    trace = client.trace(process_id)
    assert client.trace(process_id[:13]) == trace
    with client.trace_chunks(process_id[:13], begin="1970-01-01T00:00:00Z") as chunks:
        assert b"".join(chunks) == trace


def test_a_whole_id_is_no_prefix(client: QueryClient) -> None:
    """Of a process whose id begins the id of another, and of ids that have signs with a meaning in patterns."""
    add_processes(client, ["run-1", "run-10", "a_c-1", "abc-2"])
    assert whole_process_id(client.query, "run-1") == "run-1"
    assert client.trace("run-1") != client.trace("run-10")
    assert whole_process_id(client.query, "a_c") == "a_c-1"
    assert whole_process_id(client.query, "%") is None


def test_several_candidates_are_listed(client: QueryClient) -> None:
    """Those that started last, by what tells them apart; of many, not all."""
    add_processes(client, ["twin-1", "twin-2"])
    with pytest.raises(InvalidRequest) as caught:
        client.trace("twin")
    assert str(caught.value) == (
        "several process ids begin with 'twin', expected one: "
        "twin-2 (/opt/program, 1970-01-01 00:00:01 UTC), twin-1 (/opt/program, 1970-01-01 00:00:00 UTC)"
    )
    add_processes(client, [f"litter-{number}" for number in range(3 * MAX_CANDIDATES)])
    with pytest.raises(InvalidRequest, match=r"and others$") as caught:
        client.trace("litter")
    assert str(caught.value).count("litter-") == MAX_CANDIDATES


@pytest.mark.parametrize("prefix", ["", "no-such-process"])
def test_an_unknown_process_is_not_found(client: QueryClient, process_id: str, prefix: str) -> None:
    """Nothing stands for no process, even where there is one alone."""
    with pytest.raises(NotFound, match=f"process '{prefix}' is unknown"):
        client.trace(prefix)


def test_children_and_theirs(client: QueryClient) -> None:
    """Below those that were given, in the order of their starts, each once, also where they go round in a circle."""
    family = {"bee": "ant", "cat": "bee", "dog": "ant", "egg": "gone", "hen": "fox", "fox": "hen"}
    add_processes(client, ["ant", "dog", "bee", "cat", "egg", "fox", "hen"], **family)
    assert client.with_children("ant") == ["ant", "dog", "bee", "cat"]
    assert client.with_children(["bee", "an"]) == ["bee", "ant", "cat", "dog"]
    assert client.with_children(["egg", "unknown"]) == ["egg", "unknown"]
    assert client.with_children("hen") == ["hen", "fox"]
    assert client.trace(client.with_children("ant")) == client.trace(["ant", "dog", "bee", "cat"])
