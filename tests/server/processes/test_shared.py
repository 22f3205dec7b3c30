"""What the processes of a server have in common, without the processes."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from flightsrv.server.processes import hub as hub_module
from flightsrv.server.processes.channel import Channel, ChannelClosed
from flightsrv.server.processes.hub import PARAMETERS, SESSIONS, Hub
from flightsrv.server.processes.ports import held_ports
from flightsrv.server.processes.sums import Families, summed
from tests.support.waiting import wait_until
from udtf.errors import InvalidArgument

PORTS = {"port": 1234}


class Process:
    """The end of the channel that a process of the server has; to close `end` is to end it."""

    def __init__(self, hub: Hub, number: int, **answers: Callable[[str], object]) -> None:
        ours, self.end = socket.socketpair()
        self.has_ended = threading.Event()
        hub.join(number, ours, on_ready=lambda url: None, on_end=self.has_ended.set)
        self.channel = Channel(self.end.dup(), answers, on_end=lambda: None)
        self.channel.start()

    def die(self) -> None:
        self.end.shutdown(socket.SHUT_RDWR)
        self.end.close()
        assert self.has_ended.wait(60)


@pytest.fixture
def hub() -> Hub:
    return Hub(PORTS, "/nowhere")


def values(families: Families) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def counting(calls: int, seconds: float, entries: int, kind: str = "query") -> Families:
    """What a process counts."""
    registry = CollectorRegistry()
    Counter("calls", "Calls", ["kind"], registry=registry).labels(kind).inc(calls)
    Histogram("seconds", "Seconds", buckets=(1.0, 2.0), registry=registry).observe(seconds)
    Gauge("entries", "Entries", registry=registry).set(entries)
    Gauge("process_start_time_seconds", "Start", registry=registry).set(1000.0 + calls)
    return list(registry.collect())


def test_metrics_of_processes_add_up() -> None:
    """By label and bucket; the server began when its first process did."""
    together = values(summed([counting(3, 0.5, 10), counting(4, 1.5, 20), counting(5, 9.0, 30, kind="ingestion")]))
    assert together == {
        ("calls_total", "query"): 7,
        ("calls_total", "ingestion"): 5,
        ("seconds_bucket", "1.0"): 1,
        ("seconds_bucket", "2.0"): 2,
        ("seconds_bucket", "+Inf"): 3,
        ("seconds_count", ""): 3,
        ("seconds_sum", ""): 11,
        ("entries", ""): 60,
        ("process_start_time_seconds", ""): 1003,
    }


def test_what_was_told_of_a_process_counts_when_it_has_ended(hub: Hub) -> None:
    """But for what it held: a counter must not fall."""
    first = Process(hub, 0, metrics=lambda name: counting(3, 0.5, 10))
    second = Process(hub, 1, metrics=lambda name: counting(4, 0.5, 20))
    assert values(second.channel.ask("metrics", "server"))[("calls_total", "query")] == 7
    first.die()
    left = values(second.channel.ask("metrics", "server"))
    assert (left[("calls_total", "query")], left[("seconds_count", "")], left[("entries", "")]) == (7, 2, 20)
    other = Process(hub, 0, metrics=lambda name: counting(1, 0.5, 5))
    again = values(other.channel.ask("metrics", "server"))
    assert (again[("calls_total", "query")], again[("entries", "")]) == (8, 25)
    second.die()
    other.die()


def test_a_process_that_does_not_answer_is_not_waited_for(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as it did, and a query that may run there is not called cancelled."""
    monkeypatch.setattr(hub_module, "ANSWER_TIMEOUT_S", 0.05)
    busy = threading.Event()
    told: Iterator[Families] = iter([counting(3, 0.5, 10)])

    def metrics(name: str) -> Families:
        families = next(told, None)
        if families is None:
            busy.wait(60)
        return families or []

    first = Process(hub, 0, metrics=metrics, cancel=lambda query_id: True)
    second = Process(hub, 1, metrics=lambda name: counting(4, 0.5, 20))
    expected = second.channel.ask("metrics", "server")
    assert values(second.channel.ask("metrics", "server")) == values(expected)
    assert not second.channel.ask("cancel", "0123456789abcdef")
    busy.set()
    wait_until(lambda: second.channel.ask("cancel", "0123456789abcdef"))
    first.die()
    second.die()


def test_a_query_is_cancelled_in_all_others(hub: Hub) -> None:
    """The one that asks knows its own; one that begins later is told, and one that has ended runs nothing."""
    asked: list[str] = []
    still_runs = [True]
    first = Process(hub, 0, cancel=asked.append)
    second = Process(hub, 1, cancel=lambda query_id: not still_runs[0])
    assert not first.channel.ask("cancel", "0123456789abcdef")
    still_runs[0] = False
    assert first.channel.ask("cancel", "0123456789abcdef")
    assert asked == []
    second.die()
    assert first.channel.ask("cancel", "fedcba9876543210")
    third = Process(hub, 1)
    assert third.channel.ask("begin").cancelled == ("0123456789abcdef", "fedcba9876543210")
    first.die()
    third.die()


def test_sessions_and_parameters_outlast_the_process_that_put_them(hub: Hub) -> None:
    first, second = Process(hub, 0), Process(hub, 1)
    first.channel.ask("put", SESSIONS, "a", {"trace_strict": True})
    first.channel.ask("put", PARAMETERS, b"handle", b"rows")
    first.die()
    assert second.channel.ask("get", SESSIONS, "a") == {"trace_strict": True}
    assert second.channel.ask("get", PARAMETERS, b"handle") == b"rows"
    second.channel.ask("forget", PARAMETERS, b"handle")
    assert second.channel.ask("get", PARAMETERS, b"handle") is None
    second.die()


def test_questions_end_with_the_process_that_was_asked() -> None:
    """Those under way and those to come."""
    ours, theirs = socket.socketpair()
    has_ended = threading.Event()
    channel = Channel(ours, {}, on_end=has_ended.set)
    channel.start()
    under_way = channel.begin("anything")
    theirs.close()
    with pytest.raises(ChannelClosed):
        under_way.result(60)
    assert has_ended.wait(60)
    with pytest.raises(ChannelClosed):
        channel.ask("anything")
    channel.tell("anything")


def test_what_goes_wrong_is_told_to_the_one_that_asked() -> None:
    """And both go on."""
    ours, theirs = socket.socketpair()

    def fail() -> None:
        raise ValueError("no")

    answering = Channel(theirs, {"fail": fail, "double": lambda x: 2 * x}, slow=("fail",), on_end=lambda: None)
    asking = Channel(ours, {}, on_end=lambda: None)
    answering.start()
    asking.start()
    with pytest.raises(ValueError, match="no"):
        asking.ask("fail")
    assert asking.ask("double", 4) == 8


def test_ports_are_held_for_the_processes_alone() -> None:
    """Several of them listen; a server that shares its ports with its own processes cannot."""
    with held_ports("127.0.0.1", {"port": 0, "http_port": 0}) as ports, ExitStack() as listening:
        assert len(set(ports.values())) == 2
        for port in ports.values():
            for _ in range(2):
                listening.enter_context(socket.create_server(("127.0.0.1", port), reuse_port=True))
        for port in ports.values():
            with pytest.raises(InvalidArgument, match="may be taken"), held_ports("127.0.0.1", {"port": port}):
                pass
    with held_ports("127.0.0.1", ports) as again:
        assert again == ports


def test_a_port_that_another_server_listens_on_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(InvalidArgument, match=f"cannot listen on 127.0.0.1:{port}"),
            held_ports("127.0.0.1", {"port": port}),
        ):
            pass
