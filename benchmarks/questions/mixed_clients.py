"""What do 64 clients get that want different things at once? `python -m benchmarks run mixed_clients`

Each asks again as soon as it has its answer: for the trace of a minute or of ten seconds of a process that sends every
two seconds, for spans of one of its threads or of all of them by name, or for a row of `processes`. Senders of ten
processes send by the clock meanwhile. One client per kind has asked alone before. What is refused because too many ask
at once is counted; nothing else may fail.
"""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import flightsrv.client
from benchmarks import uploads
from benchmarks.lakes import Workbench
from benchmarks.recordings import TWO_MINUTES, Live, Window
from benchmarks.results import Result
from benchmarks.senders import lost_events, senders
from benchmarks.servers import WrongTrace, flightsrv_server
from flightsrv.client import QueryClient, TooMuch

SECONDS = 20.0
ALONE_RUNS = 7
SENT = Live(20, threads=50, spans_per_flush=100)
SENDERS = 2
PROCESSES_OF_SENDER = 5

Ask = Callable[[QueryClient], object]


@dataclass(frozen=True)
class _Kind:
    """What some of the clients ask for."""

    name: str
    nb_clients: int
    ask: Ask


def measure(
    bench: Workbench, live: Live = TWO_MINUTES, seconds: float = SECONDS, sent: Live = SENT, clients: int = 64
) -> Iterator[Result]:
    kinds = _kinds(live, clients // 8)
    with (
        bench.fresh_copy(live) as lake,
        flightsrv_server(lake) as server,
        senders(server.url, SENDERS, sent, seconds, PROCESSES_OF_SENDER) as waiting,
    ):
        alone = {kind.name: _alone(server.client, kind) for kind in kinds}
        before_s = server.cpu_seconds()
        waiting.begin()
        answers, refused = _among_others(server.url, kinds, seconds)
        cpu_s = server.cpu_seconds() - before_s
        if lost := lost_events(server, waiting.sent(), sent):
            raise WrongTrace(f"{lost} events were acknowledged that are not in the lake")
    nb_answers = sum(map(len, answers.values()))
    details = {"refused": float(refused), "server CPU ms an answer": cpu_s * 1e3 / nb_answers}
    yield Result(f"{clients} mixed clients", "answers/s", None, (nb_answers / seconds,), details)
    for kind in kinds:
        times_ms = sorted(answers[kind.name])
        details = {"alone ms": alone[kind.name], "p99 ms": times_ms[len(times_ms) * 99 // 100]}
        yield Result(f"{clients} mixed clients: {kind.name}", "ms", None, tuple(times_ms), details)


def _kinds(live: Live, share: int) -> list[_Kind]:
    minute = live.minute
    moment = Window(minute.begin_ns, minute.begin_ns + (minute.end_ns - minute.begin_ns) // 6)
    stream = uploads.thread_streams(live.process_id, 1)[0].stream_id

    def trace(window: Window) -> Ask:
        return lambda client: client.trace(live.process_id, begin=window.begin_ns, end=window.end_ns)

    def query(sql: str, window: Window | None = None) -> Ask:
        begin, end = (None, None) if window is None else (window.begin_ns, window.end_ns)
        return lambda client: client.query(sql, begin=begin, end=end)

    by_name = "SELECT name, count(*) AS n, max(duration) AS longest FROM {} GROUP BY name"
    return [
        _Kind("trace of a minute", share, trace(minute)),
        _Kind("trace of a sixth of it", 2 * share, trace(moment)),
        _Kind("one thread by name", 2 * share, query(by_name.format(f"view_instance('thread_spans', '{stream}')"))),
        _Kind(
            "the minute by name", share, query(by_name.format(f"process_spans('{live.process_id}', 'thread')"), minute)
        ),
        _Kind("row of a process", 2 * share, query(f"SELECT * FROM processes WHERE process_id = '{live.process_id}'")),
    ]


def _alone(client: QueryClient, kind: _Kind) -> float:
    """The median time of an answer, ms, when nothing else is asked for."""
    kind.ask(client)
    return statistics.median(_timed(client, kind) for _ in range(ALONE_RUNS))


def _timed(client: QueryClient, kind: _Kind) -> float:
    begin_s = time.perf_counter()
    kind.ask(client)
    return (time.perf_counter() - begin_s) * 1e3


def _among_others(url: str, kinds: list[_Kind], seconds: float) -> tuple[dict[str, list[float]], int]:
    """The times of all answers, ms, by the name of their kind, and how many were refused."""
    answers: dict[str, list[float]] = defaultdict(list)
    refused = [0]
    lock = threading.Lock()
    end_s = time.perf_counter() + seconds

    def go_on(client: QueryClient, kind: _Kind) -> None:
        # Each has one answer at least, however slow the machine is.
        has_answer = False
        while not has_answer or time.perf_counter() < end_s:
            try:
                ms = _timed(client, kind)
            except TooMuch:
                with lock:
                    refused[0] += 1
            else:
                has_answer = True
                with lock:
                    answers[kind.name].append(ms)

    with ExitStack() as stack, ThreadPoolExecutor(sum(kind.nb_clients for kind in kinds)) as pool:
        tasks = [
            pool.submit(go_on, stack.enter_context(flightsrv.client.connect(url)), kind)
            for kind in kinds
            for _ in range(kind.nb_clients)
        ]
        for task in tasks:
            task.result()
    return answers, refused[0]
