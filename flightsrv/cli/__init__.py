"""The command `flightsrv`; one module a command.

These modules import nothing heavy at their top, so that `--help` and usage errors come at once.
"""

import click

from flightsrv import __version__
from flightsrv.cli.demo import demo
from flightsrv.cli.errors import CommandGroup
from flightsrv.cli.export import export
from flightsrv.cli.gateway import gateway
from flightsrv.cli.import_chrome import import_chrome
from flightsrv.cli.materialize import materialize
from flightsrv.cli.processes import processes
from flightsrv.cli.query import query
from flightsrv.cli.removal import delete, gc
from flightsrv.cli.run import run
from flightsrv.cli.serve import serve
from flightsrv.cli.token import token
from flightsrv.cli.trace import trace
from flightsrv.cli.warm_up import warm_up


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "FLIGHTSRV"},
)
@click.version_option(__version__, prog_name="flightsrv")
def main() -> None:
    """Look into running programs: Perfetto traces on demand, over Arrow Flight SQL.

    Options can also be set by environment variables: FLIGHTSRV_URL, FLIGHTSRV_TOKEN, FLIGHTSRV_LAKE, FLIGHTSRV_DB,
    FLIGHTSRV_HOST, FLIGHTSRV_PORT, FLIGHTSRV_FORMAT, and FLIGHTSRV_<COMMAND>_<OPTION> for the others.

    Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C.

    \b
    Example, from nothing to a trace in the viewer:
      flightsrv serve --lake ./lake &
      flightsrv import-chrome result.json
      flightsrv trace PROCESS_ID -o result.pftrace
    """


main.add_command(serve)
main.add_command(token)
main.add_command(gateway)
main.add_command(trace)
main.add_command(query)
main.add_command(processes)
main.add_command(import_chrome)
main.add_command(export)
main.add_command(materialize)
main.add_command(gc)
main.add_command(delete)
main.add_command(demo)
main.add_command(run)
main.add_command(warm_up)
