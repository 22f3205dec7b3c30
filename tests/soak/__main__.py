"""`python -m tests.soak --clients 64 --seconds 300`: exits with 1 if anything went wrong."""

import sys
import tempfile
from pathlib import Path

import click

from tests.faults.server_process import running_server
from tests.soak.run import soak


@click.command()
@click.option("--clients", default=64, show_default=True)
@click.option("--seconds", default=300.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(clients: int, seconds: float, seed: int) -> None:
    """Clients that do everything, for a while, with a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder)
        with running_server(str(lake / "lake"), None, lake / "log") as server:
            report = soak(server.url, server.process.pid, clients=clients, seconds=seconds, seed=seed)
    print(report)
    for failure in report.failures[:10]:
        print(failure)
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
