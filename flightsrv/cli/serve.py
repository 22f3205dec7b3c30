"""`flightsrv serve`: the server."""

import logging
from typing import Any

import click

from flightsrv.cli.gateway import host_name_option, perfetto_ui_option
from flightsrv.cli.limits import limit_options, limits_of
from flightsrv.cli.security import security_of, security_options


@click.command(epilog="Example: flightsrv serve --lake ./lake --port 50051")
@click.option(
    "--lake",
    required=True,
    envvar="FLIGHTSRV_LAKE",
    show_envvar=True,
    metavar="DIR_OR_URI",
    help="Where telemetry is kept: a folder, or a URL such as s3://bucket/prefix.",
)
@click.option(
    "--db",
    envvar="FLIGHTSRV_DB",
    show_envvar=True,
    metavar="URL",
    help="Metadata database as an SQLAlchemy URL, such as postgresql+psycopg://user@host/name, which several servers "
    "may share; without it, an SQLite file in the lake's folder.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    envvar="FLIGHTSRV_HOST",
    show_default=True,
    show_envvar=True,
    help="Address to listen on; 0.0.0.0 is every one of this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=50051,
    envvar="FLIGHTSRV_PORT",
    show_default=True,
    show_envvar=True,
    help="Port to listen on; 0 is a free one, printed at the start.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    envvar="FLIGHTSRV_METRICS_PORT",
    show_envvar=True,
    help="Serve metrics for Prometheus on this port of the same address, as http://HOST:PORT/metrics; 0 is a free one, "
    "told in the log. Without it, not at all.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    envvar="FLIGHTSRV_HTTP_PORT",
    show_envvar=True,
    help="Serve traces over HTTP as well, and a page to choose them on, at this port of the same address; 0 is a free "
    "one, told in the log. Without it, not at all.",
)
@perfetto_ui_option
@host_name_option
@security_options
@limit_options
@click.option("-v", "--verbose", is_flag=True, help="Log details, too.")
def serve(
    lake: str,
    db: str | None,
    host: str,
    port: int,
    metrics_port: int | None,
    http_port: int | None,
    perfetto_ui: str,
    host_names: tuple[str, ...],
    verbose: bool,
    **options: Any,
) -> None:
    """Serve a lake over Flight SQL until SIGTERM or Ctrl-C.

    Prints one line, "listening on grpc://HOST:PORT", when clients may come. The log goes to standard error, one line a
    query. At an address that other machines reach it starts only with --tokens, --tls-client-ca or --insecure.
    """
    from flightsrv.connections import fitting
    from flightsrv.server import lifecycle

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if verbose:
        logging.getLogger("flightsrv").setLevel(logging.DEBUG)
        logging.getLogger("udtf").setLevel(logging.DEBUG)
    bounds = limits_of(options)
    connections = fitting(bounds.connections, nb_ports=1 if http_port is None else 2)
    settings = lifecycle.ServerSettings(
        connections=connections,
        security=security_of(options),
        calls=bounds.calls,
        queries=bounds.queries,
        lake=bounds.lake,
        metrics_port=metrics_port,
    )
    if http_port is not None and settings.security.tls is not None:
        raise click.UsageError(
            "--http-port does not go with --tls-cert: run `flightsrv gateway --url grpc+tls://...` beside the server."
        )
    if http_port is None:
        lifecycle.serve(lake, db, host, port, settings)
        return
    from flightsrv.gateway.lifecycle import GatewaySettings, running_gateway

    page = GatewaySettings(host, http_port, perfetto_ui=perfetto_ui, host_names=host_names, connections=connections)
    lifecycle.serve(lake, db, host, port, settings, beside=lambda url: running_gateway(url, page))
