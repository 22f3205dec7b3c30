"""What the processes of a server have in common, kept by the process that started them."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from socket import socket
from typing import Any

from flightsrv.policy.expiring import ExpiringMap
from flightsrv.policy.limits import SESSION_LIFETIME_S
from flightsrv.server.processes.channel import Channel, ChannelClosed
from flightsrv.server.processes.sums import Families, counts, summed
from udtf.observability.query_log import QueryLog

ANSWER_TIMEOUT_S = 1.0
"""How long a process may take to answer the others."""

MAX_CANCELLED = 10_000
"""Cancelled queries that a process is told of which begins later."""

SESSIONS, PARAMETERS = "sessions", "parameters"
"""Maps that all processes read and write."""


@dataclass(frozen=True)
class Assignment:
    """What a process learns first.

    Attributes:
        number: which one it is, from 0. One that takes the place of another has the same.
        ports: where they listen, by the names of the options of `flightsrv serve`.
        folder: for sockets, which no other user can open.
        cancelled: ids of queries that have been cancelled.
    """

    number: int
    ports: Mapping[str, int]
    folder: str
    cancelled: tuple[str, ...]


class Hub:
    """Answers the processes of a server. Each of them may end at any time, and with it only what it did itself."""

    def __init__(self, ports: Mapping[str, int], folder: str) -> None:
        self._ports = ports
        self._folder = folder
        self._maps: Mapping[str, ExpiringMap[Any, Any]] = {
            SESSIONS: ExpiringMap(lifetime_s=SESSION_LIFETIME_S),
            PARAMETERS: ExpiringMap(size_of=lambda handle, parameters: len(handle) + len(parameters)),
        }
        self._query_log = QueryLog()
        self._lock = threading.Lock()
        self._cancelled: deque[str] = deque(maxlen=MAX_CANCELLED)
        self._channels: set[Channel] = set()
        self._last: dict[str, dict[Channel, Families]] = {}
        self._ended: dict[str, Families] = {}

    def join(self, number: int, end: socket, on_ready: Callable[[str], None], on_end: Callable[[], None]) -> None:
        """Answer a process that begins, until it ends.

        Args:
            end: its channel's other end.
            on_ready: called with its url when it listens.
            on_end: called when it has ended.
        """

        def leave() -> None:
            self._leave(channel)
            on_end()

        answers: dict[str, Callable[..., object]] = {
            "begin": lambda: self._assignment(number),
            "ready": on_ready,
            "get": lambda name, key: self._maps[name].get(key),
            "put": lambda name, key, value: self._maps[name].put(key, value),
            "forget": lambda name, key: self._maps[name].forget(key),
            "log": self._query_log.add,
            "records": self._query_log.records,
            "cancel": lambda query_id: self._cancel(query_id, channel),
            "metrics": self._metrics,
        }
        channel = Channel(end, answers, slow=("cancel", "metrics"), on_end=leave)
        with self._lock:
            self._channels.add(channel)
        channel.start()

    def _leave(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)
            for name, of_channels in self._last.items():
                last = of_channels.pop(channel, ())
                self._ended[name] = summed([self._ended.get(name, ()), counts(last)])

    def _assignment(self, number: int) -> Assignment:
        with self._lock:
            return Assignment(number, self._ports, self._folder, tuple(self._cancelled))

    def _cancel(self, query_id: str, asking: Channel) -> bool:
        """Have all others cancel a query, also one that has not begun; tell whether none of them runs it any more."""
        with self._lock:
            if query_id not in self._cancelled:
                self._cancelled.append(query_id)
        answers = self._ask_all("cancel", query_id, but=asking)
        return all(_value(answer, if_ended=True, if_late=False) for answer in answers.values())

    def _metrics(self, name: str) -> Families:
        """The sum of one kind of metrics over all processes. What has been told of a process that has ended goes on to
        count; what a process does not tell in time is as it was."""
        answers = self._ask_all("metrics", name)
        with self._lock:
            last = self._last.setdefault(name, {})
            for channel, answer in answers.items():
                told = _value(answer, if_ended=None, if_late=None)
                if told is not None and channel in self._channels:
                    last[channel] = told
            return summed([self._ended.get(name, ()), *last.values()])

    def _ask_all(self, question: str, argument: str, but: Channel | None = None) -> "dict[Channel, Future[Any]]":
        with self._lock:
            channels = [channel for channel in self._channels if channel is not but]
        answers = {channel: channel.begin(question, argument) for channel in channels}
        wait(answers.values(), ANSWER_TIMEOUT_S)
        return answers


def _value(answer: "Future[Any]", *, if_ended: Any, if_late: Any) -> Any:
    if not answer.done():
        return if_late
    try:
        return answer.result()
    except ChannelClosed:
        return if_ended
