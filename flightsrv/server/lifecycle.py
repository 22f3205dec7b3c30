"""Start and stop of a server: a lake, a query engine and a Flight service that belong together."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from flightsrv.flight.call import Services
from flightsrv.flight.calls import Calls
from flightsrv.flight.service import FlightService
from flightsrv.flight.transports.transport import (
    TRANSPORTS,
    Address,
    Transport,
    TransportName,
    TransportSettings,
    exports_only,
)
from flightsrv.flightsql import handlers
from flightsrv.policy.auth.authentication import Authentication
from flightsrv.policy.auth.settings import SecuritySettings
from flightsrv.policy.connections import ConnectionLimits
from flightsrv.policy.gate import Gate
from flightsrv.policy.limits import CallLimits
from flightsrv.server.exporter import LakeExporter
from flightsrv.server.heap import keep_freed_memory
from flightsrv.server.metrics_endpoint import MetricsEndpoint
from flightsrv.server.processes.member import Member
from flightsrv.server.upkeep import Retention, Upkeep
from flightsrv.stop_signals import StopSignals
from udtf.errors import InvalidArgument
from udtf.functions.settings import QuerySettings
from udtf.lake.lake import Lake
from udtf.lake.settings import LakeSettings
from udtf.sql.engine import QueryEngine

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSettings:
    """How a server runs.

    Attributes:
        transport: the library that speaks Flight.
        drain_s: seconds that streams in flight may go on after the server was told to stop.
        grace_s: seconds that they may take to end after that, once they are cancelled.
        security: tokens, and TLS.
        connections: limits of the connections to the port of the service.
        calls: limits of queries, as far as the caller's side goes.
        queries: limits and sizes of queries.
        lake: how the store, the database and memory are used.
        metrics_port: where metrics are served over HTTP, on the same address as queries; 0 is a free port, None is not
            at all.
        otlp_port: where OTLP/gRPC is taken, beside the port of the service and on the same address; 0 is a free port,
            None is nowhere.
        retention: what the lake keeps. None leaves that, and all other upkeep of the lake, to another server.
    """

    transport: TransportName = "grpc"
    drain_s: float = 30.0
    grace_s: float = 5.0
    security: SecuritySettings = field(default_factory=SecuritySettings)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    calls: CallLimits = field(default_factory=CallLimits)
    queries: QuerySettings = field(default_factory=QuerySettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    metrics_port: int | None = None
    otlp_port: int | None = None
    retention: Retention | None = field(default_factory=Retention)


class RunningServer:
    """A server that listens, from the moment it is made until `stop`.

    Attributes:
        url: its address.
        own_url: an address at which nothing but this process answers.
    """

    def __init__(
        self, services: Services, host: str, port: int, settings: ServerSettings, member: Member | None = None
    ) -> None:
        """Raises InvalidArgument where the address cannot be listened on."""
        is_shared = member is not None
        security, limits = settings.security, services.limits
        self._services = services
        self._settings = settings
        self._stopped = False
        self.gate = Gate(limits.max_calls)
        self._metrics = None
        if settings.metrics_port is not None:
            self._metrics = MetricsEndpoint(services.lake.metrics, host, settings.metrics_port, is_shared=is_shared)
        keep_freed_memory()
        self._upkeep = None if settings.retention is None else Upkeep(services.lake, settings.retention)
        address = Address(host, port)
        calls = Calls(services, self.gate, Authentication(security.tokens))
        private = None if member is None else member.private_socket
        listening = TransportSettings(address, security.tls, limits, settings.connections, is_shared, private)
        exporter = LakeExporter()
        self._transports: list[Transport] = []
        try:
            self._transports.append(TRANSPORTS[settings.transport](FlightService(handlers), calls, listening, exporter))
            if settings.otlp_port is not None:
                of_otlp = replace(listening, address=Address(host, settings.otlp_port), private_socket=None)
                self._transports.append(exports_only(calls, of_otlp, exporter))
        except InvalidArgument:
            for transport in self._transports:
                transport.stop(0.0)
            if self._upkeep is not None:
                self._upkeep.close()
            if self._metrics is not None:
                self._metrics.close()
            raise
        self.port = self._transports[0].port
        self.otlp_port = self._transports[1].port if settings.otlp_port is not None else None
        self.url = f"{'grpc' if security.tls is None else 'grpc+tls'}://{address.host_in_url}:{self.port}"
        self.own_url = self.url if private is None else f"grpc+unix://{private}"
        self.metrics_url = None if self._metrics is None else self._metrics.url

    def stop(self) -> bool:
        """Refuse new calls, let those in flight finish, cancel what takes too long, close the lake.

        Returns:
            Whether all calls have ended. If not, the process cannot end by itself either.
        """
        if self._stopped:
            return True
        if not self.gate.drain(self._settings.drain_s):
            log.warning("cancelling calls that go on after %.0f s", self._settings.drain_s)
            if not self.gate.close(self._settings.grace_s):
                return False
        for transport in self._transports:
            transport.stop(self._settings.grace_s)
        if self._upkeep is not None:
            self._upkeep.close()
        if self._metrics is not None:
            self._metrics.close()
        self._services.engine.close()
        self._services.lake.close()
        self._stopped = True
        return True


def start(
    lake_uri: str,
    db_url: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: ServerSettings | None = None,
    member: Member | None = None,
) -> RunningServer:
    """Open a lake and serve it.

    Args:
        lake_uri: a folder, or a URL that fsspec knows.
        db_url: an SQLAlchemy URL of the metadata database; by default an SQLite file in the folder.
        port: 0 is a free one.
        member: this process among those that are one server.

    Raises:
        InvalidArgument: the address cannot be listened on, or would be open to other machines.
    """
    settings = settings or ServerSettings()
    settings.security.check_address(host)
    lake = Lake.open(lake_uri, db_url, settings.lake)
    engine = QueryEngine(lake, settings.queries)
    engine.warm_up()
    try:
        services = Services(engine, lake, limits=settings.calls)
        return RunningServer(services if member is None else member.sharing(services), host, port, settings, member)
    except InvalidArgument:
        engine.close()
        lake.close()
        raise


@contextmanager
def running_server(
    lake_uri: str,
    db_url: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: ServerSettings | None = None,
) -> Iterator[RunningServer]:
    """A server for the length of a `with` block."""
    server = start(lake_uri, db_url, host, port, settings)
    try:
        yield server
    finally:
        server.stop()


def serve(
    lake_uri: str,
    db_url: str | None = None,
    host: str = "127.0.0.1",
    port: int = 50051,
    settings: ServerSettings | None = None,
    beside: Callable[[str], AbstractContextManager[object]] = nullcontext,
    member: Member | None = None,
) -> None:
    """Serve a lake until SIGTERM or SIGINT. Call it from the main thread.

    Prints one line, `listening on grpc://host:port`, when clients may come. One of several processes that are one
    server tells the process that started it instead.

    Args:
        beside: what else runs as long as the server does, given a url at which to reach this process.
        member: this process among those that are one server.

    Raises:
        InvalidArgument: the address cannot be listened on.
    """
    signals = StopSignals()
    server = start(lake_uri, db_url, host, port, settings, member)
    if server.metrics_url is not None:
        log.info("metrics on %s", server.metrics_url)
    if server.otlp_port is not None:
        log.info("OTLP/gRPC on port %d", server.otlp_port)
    try:
        with beside(server.own_url):
            if member is None:
                print(f"listening on {server.url}", flush=True)
            else:
                member.listens(server.url)
            signals.wait()
            log.info("stopping: new calls are refused, those in flight may finish")
            is_stopped = server.stop()
    except BaseException:
        server.stop()
        raise
    if not is_stopped:
        # A call that ignores its cancellation would keep the process for ever. Nothing acknowledged is lost by this.
        log.error("calls in flight did not end; leaving without them")
        os._exit(1)
