"""One of several processes that are one server: what they share, in the place of what a single one keeps to itself."""

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pyarrow as pa
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from flightsrv.policy.errors import Draining
from flightsrv.policy.running import RunningQueries
from flightsrv.server.processes.channel import Channel, ChannelClosed
from flightsrv.server.processes.hub import PARAMETERS, SESSIONS, Assignment
from flightsrv.server.processes.sums import Families
from udtf.observability.query_log import QueryLog, QueryRecord

if TYPE_CHECKING:
    from flightsrv.flight.call import Services

K = TypeVar("K")
V = TypeVar("V")

_LOOK_AGAIN_S = 0.02


class Member:
    """This process among those that are one server. When the one that started it has ended, it is told to stop.

    Attributes:
        assignment: what it has been told first.
    """

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is that of the socket to the process that started this one."""
        os.set_inheritable(descriptor, False)
        self._registries: dict[str, CollectorRegistry] = {}
        self._running = _SharedRunning(self)
        self._channel = Channel(
            socket.socket(fileno=descriptor),
            {"cancel": self._running.cancel_here, "metrics": self._metrics},
            on_end=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )
        self._channel.start()
        self.assignment: Assignment = self.ask("begin")
        for query_id in self.assignment.cancelled:
            self._running.cancel_here(query_id)

    @property
    def private_socket(self) -> Path:
        """Where this process can be reached, and not another one of them."""
        return Path(self.assignment.folder, str(os.getpid()))

    def sharing(self, services: "Services") -> "Services":
        """These services with all that the processes have in common."""
        metrics = services.lake.metrics
        metrics.shown = self.shown("server", metrics.registry)
        return replace(
            services,
            bound=_SharedParameters(_SharedMap(self, PARAMETERS)),
            running=self._running,
            sessions=_SharedMap(self, SESSIONS),
            query_log=_SharedQueryLog(self),
        )

    def shown(self, name: str, registry: CollectorRegistry) -> CollectorRegistry:
        """What the processes count together, each of them in a registry of this name."""
        self._registries[name] = registry
        together = CollectorRegistry()
        together.register(_Together(self, name))
        return together

    def listens(self, url: str) -> None:
        """Tell that callers may come."""
        self.ask("ready", url)

    def ask(self, question: str, *arguments: object) -> Any:
        """Ask the process that started this one.

        Raises:
            Draining: it has ended.
        """
        try:
            return self._channel.ask(question, *arguments)
        except ChannelClosed:
            raise Draining("the server is stopping; try again in a moment") from None

    def tell(self, question: str, *arguments: object) -> None:
        """The same without an answer."""
        self._channel.tell(question, *arguments)

    def _metrics(self, name: str) -> Families:
        registry = self._registries.get(name)
        return [] if registry is None else list(registry.collect())


class _SharedMap(Generic[K, V]):
    """One of the maps of all processes."""

    def __init__(self, member: Member, name: str) -> None:
        self._member = member
        self._name = name

    def put(self, key: K, value: V) -> None:
        self._member.ask("put", self._name, key, value)

    def get(self, key: K) -> V | None:
        value: V | None = self._member.ask("get", self._name, key)
        return value

    def forget(self, key: K) -> None:
        self._member.ask("forget", self._name, key)


class _SharedParameters:
    """Parameters of prepared statements, which are bytes on their way."""

    def __init__(self, encoded: _SharedMap[bytes, bytes]) -> None:
        self._encoded = encoded

    def put(self, key: bytes, value: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
        self._encoded.put(key, sink.getvalue().to_pybytes())

    def get(self, key: bytes) -> pa.Table | None:
        encoded = self._encoded.get(key)
        return None if encoded is None else pa.ipc.open_stream(encoded).read_all()

    def forget(self, key: bytes) -> None:
        self._encoded.forget(key)


class _SharedRunning(RunningQueries):
    """Queries that run in this process; to cancel one ends it in all of them."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self._member = member

    def cancel(self, query_id: str, patience_s: float) -> bool:
        deadline_s = time.monotonic() + patience_s
        while True:
            has_ended = self.cancel_here(query_id)
            has_ended = self._member.ask("cancel", query_id) and has_ended
            if has_ended or time.monotonic() > deadline_s:
                return has_ended
            time.sleep(_LOOK_AGAIN_S)

    def cancel_here(self, query_id: str) -> bool:
        """Cancel a query in this process alone, and tell whether it runs here no more."""
        return super().cancel(query_id, 0.0)


class _SharedQueryLog(QueryLog):
    """What has ended in any process."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self._member = member

    def add(self, record: QueryRecord) -> None:
        self._member.tell("log", record)

    def records(self) -> Sequence[QueryRecord]:
        records: Sequence[QueryRecord] = self._member.ask("records")
        return records


class _Together:
    """Collects metrics of all processes."""

    def __init__(self, member: Member, name: str) -> None:
        self._member = member
        self._name = name

    def collect(self) -> Iterator[Metric]:
        with suppress(Draining):
            yield from self._member.ask("metrics", self._name)
