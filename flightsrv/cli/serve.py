"""`flightsrv serve`: the server."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import click

from flightsrv.cli.gateway import host_name_option, perfetto_ui_option
from flightsrv.cli.lake_options import builders_option, lake_options
from flightsrv.cli.limits import limit_options, limits_of
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
    from udtf import kernel_cache

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    kernel_cache.report_compilation(logging.getLogger(__name__).info)
    from flightsrv.policy.connections import fitting
    from flightsrv.server import lifecycle
    from flightsrv.server.upkeep import Retention

    if verbose:
        logging.getLogger("flightsrv").setLevel(logging.DEBUG)
        logging.getLogger("udtf").setLevel(logging.DEBUG)
    bounds = limits_of(options)
    further_ports = [port for port in (http_port, otlp_port, otlp_http_port) if port is not None]
    connections = fitting(bounds.connections, nb_ports=1 + len(further_ports))
    settings = lifecycle.ServerSettings(
        transport=transport,
        connections=connections,
        security=security_of(options),
        calls=bounds.calls,
        queries=bounds.queries,
        lake=replace(bounds.lake, builders=builders),
        metrics_port=metrics_port,
        otlp_port=otlp_port,
        retention=Retention(retention, max_bytes_of(max_lake_gib)),
    )
    for name, http in (("--http-port", http_port), ("--otlp-http-port", otlp_http_port)):
        if http is not None and settings.security.tls is not None:
            raise click.UsageError(
                f"{name} does not go with --tls-cert: run `flightsrv gateway --url grpc+tls://...` beside the server."
            )
    if http_port is None and otlp_http_port is None:
        lifecycle.serve(lake, db, host, port, settings)
        return
    from flightsrv.gateway.lifecycle import GatewaySettings, export_app, page_app, running_gateway

    @contextmanager
    def gateways(url: str) -> Iterator[None]:
        with ExitStack() as stack:
            for http, make_app in ((http_port, page_app), (otlp_http_port, export_app)):
                if http is not None:
                    of_port = GatewaySettings(
                        host, http, perfetto_ui=perfetto_ui, host_names=host_names, connections=connections
                    )
                    stack.enter_context(running_gateway(url, of_port, make_app))
            yield

    lifecycle.serve(lake, db, host, port, settings, beside=gateways)
