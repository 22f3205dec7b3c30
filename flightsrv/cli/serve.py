"""`flightsrv serve`: the server."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import click

from flightsrv.cli.gateway import host_name_option, perfetto_ui_option
from flightsrv.cli.lake_options import builders_option, lake_options
from flightsrv.cli.limits import limit_options, limits_of, share_of
from flightsrv.cli.removal import Age, max_bytes_of, max_lake_option
from flightsrv.cli.security import security_of, security_options


@click.command(epilog="Example: flightsrv serve --lake ./lake --port 50051")
@lake_options
@click.option(
    "--host",
    default="127.0.0.1",
    envvar="FLIGHTSRV_HOST",
    show_default=True,
    show_envvar=True,
    help="Address to listen on; 0.0.0.0 for all addresses of this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=50051,
    envvar="FLIGHTSRV_PORT",
    show_default=True,
    show_envvar=True,
    help="Port to listen on; 0 for a free one, printed at the start.",
)
@click.option(
    "--transport",
    type=click.Choice(["grpc", "pyarrow"]),
    default="grpc",
    envvar="FLIGHTSRV_TRANSPORT",
    show_default=True,
    show_envvar=True,
    help="The library that speaks Flight: grpcio, or pyarrow.flight, which cannot bound connections, messages and "
    "stalled clients, and adds a traceback to some errors.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    envvar="FLIGHTSRV_METRICS_PORT",
    show_envvar=True,
    help="Serve Prometheus metrics at http://HOST:PORT/metrics on this port; 0 for a free one, written to the log. "
    "Default: no metrics endpoint.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    envvar="FLIGHTSRV_HTTP_PORT",
    show_envvar=True,
    help="Serve the page and traces over HTTP on this port; 0 for a free one, written to the log. Default: no page.",
)
@click.option(
    "--otlp-port",
    type=click.IntRange(0, 65535),
    envvar="FLIGHTSRV_OTLP_PORT",
    show_envvar=True,
    help="Take telemetry by OTLP/gRPC on this port as well, usually 4317; 0 for a free one, written to the log. --port "
    "takes it anyway, unless the transport is pyarrow.",
)
@click.option(
    "--otlp-http-port",
    type=click.IntRange(0, 65535),
    envvar="FLIGHTSRV_OTLP_HTTP_PORT",
    show_envvar=True,
    help="Take telemetry by OTLP/HTTP on this port as well, usually 4318; 0 for a free one, written to the log. "
    "--http-port takes it anyway.",
)
@perfetto_ui_option
@host_name_option
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that serve together on the same ports, as one server. They divide its limits among them.",
)
@click.option("--member", type=int, hidden=True, help="Descriptor of the socket to the process that started this one.")
@click.option("--retention", type=Age(), help="Remove telemetry whose events are older, such as 7d.")
@max_lake_option
@security_options
@builders_option
@limit_options
@click.option("-v", "--verbose", is_flag=True, help="Log details.")
def serve(
    lake: str,
    db: str | None,
    host: str,
    port: int,
    transport: Any,
    metrics_port: int | None,
    http_port: int | None,
    otlp_port: int | None,
    otlp_http_port: int | None,
    perfetto_ui: str,
    host_names: tuple[str, ...],
    processes: int,
    member: int | None,
    retention: float | None,
    max_lake_gib: float | None,
    builders: str,
    verbose: bool,
    **options: Any,
) -> None:
    """Serve a lake over Flight SQL until SIGTERM or Ctrl-C.

    Prints one line, "listening on grpc://HOST:PORT", when ready. The log, one line per query, goes to standard error.
    On an address that other machines can reach, --tokens, --tls-client-ca or --insecure is required.
    """
    ports = {
        "port": port,
        "metrics_port": metrics_port,
        "http_port": http_port,
        "otlp_port": otlp_port,
        "otlp_http_port": otlp_http_port,
    }
    if processes > 1 and transport != "grpc":
        raise click.UsageError("--processes goes with --transport grpc only.")
    if processes > 1 and member is None:
        _supervise(processes, host, {name: wanted for name, wanted in ports.items() if wanted is not None})
    from udtf import kernel_cache

    this = None
    named = ""
    if member is not None:
        from flightsrv.server.processes.member import Member

        this = Member(member)
        named = f"process {this.assignment.number}: "
        ports.update(this.assignment.ports)
    logging.basicConfig(format=f"%(asctime)s %(levelname)s {named}%(message)s", level=logging.INFO)
    kernel_cache.report_compilation(logging.getLogger(__name__).info)
    from flightsrv.policy.connections import fitting
    from flightsrv.server import lifecycle
    from flightsrv.server.upkeep import Retention

    if verbose:
        logging.getLogger("flightsrv").setLevel(logging.DEBUG)
        logging.getLogger("udtf").setLevel(logging.DEBUG)
    bounds = limits_of(options).divided(processes)
    http_ports = {"--http-port": ports["http_port"], "--otlp-http-port": ports["otlp_http_port"]}
    further_ports = [wanted for wanted in (*http_ports.values(), ports["otlp_port"]) if wanted is not None]
    connections = fitting(bounds.connections, nb_ports=1 + len(further_ports))
    # Of several processes, one does the upkeep.
    is_keeper = this is None or this.assignment.number == 0
    settings = lifecycle.ServerSettings(
        transport=transport,
        connections=connections,
        security=security_of(options),
        calls=bounds.calls,
        queries=bounds.queries,
        lake=replace(bounds.lake, builders=builders),
        metrics_port=ports["metrics_port"],
        otlp_port=ports["otlp_port"],
        retention=Retention(retention, max_bytes_of(max_lake_gib)) if is_keeper else None,
    )
    for name, http in http_ports.items():
        if http is not None and settings.security.tls is not None:
            raise click.UsageError(
                f"{name} does not go with --tls-cert: run `flightsrv gateway --url grpc+tls://...` beside the server."
            )
    if http_port is None and otlp_http_port is None:
        lifecycle.serve(lake, db, host, ports["port"] or 0, settings, member=this)
        return
    from flightsrv.gateway.lifecycle import GatewaySettings, export_app, page_app, running_gateway

    @contextmanager
    def gateways(url: str) -> Iterator[None]:
        of_all = GatewaySettings(host, perfetto_ui=perfetto_ui, host_names=host_names, connections=connections)
        of_all = replace(of_all, max_traces=share_of(of_all.max_traces, processes))
        if this is not None:
            of_all = replace(of_all, is_shared=True, shown_metrics=partial(this.shown, "gateway"))
        with ExitStack() as stack:
            for http, make_app in zip(http_ports.values(), (page_app, export_app), strict=True):
                if http is not None:
                    stack.enter_context(running_gateway(url, replace(of_all, port=http), make_app))
            yield

    lifecycle.serve(lake, db, host, ports["port"] or 0, settings, beside=gateways, member=this)


def _supervise(processes: int, host: str, ports: Mapping[str, int]) -> NoReturn:
    """Serve by several processes, each of which runs the same command as this one."""
    from flightsrv.server.processes.supervisor import Supervisor

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    command = [sys.executable, *sys.orig_argv[1:], "--member"]
    click.get_current_context().exit(Supervisor(command, processes).run(host, ports))
