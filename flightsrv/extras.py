"""The optional parts of the package: `pip install flightsrv` brings what recording needs, which is nothing."""

_BY_COMMAND = {
    "serve": "server",
    "export": "server",
    "materialize": "server",
    "gc": "server",
    "delete": "server",
    "demo": "server",
    "warm-up": "server",
    "run": "server",
    "gateway": "gateway",
}
"""The extra that a command needs, if that is not `client`."""

_BY_MODULE = {"s3fs": "s3", "psycopg": "postgres", "distributed": "dask"}
"""The extra that brings a module which only some ways of calling a command need."""


def install_advice(command: str | None, module: str) -> str:
    """What to say where a command does not find a module of another package."""
    package = module.partition(".")[0]
    extra = _BY_MODULE.get(package) or _BY_COMMAND.get(command or "", "client")
    subject = f"`flightsrv {command}`" if command else "this command"
    return f"{subject} needs the package {package}, which is not installed: pip install 'flightsrv[{extra}]'"
