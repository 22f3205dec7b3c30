"""`flightsrv processes`: what there is to look at."""

import click

from flightsrv.cli.options import ServerAddress, server_options
from flightsrv.cli.query import format_option, run_query

MAX_COMMAND_CHARS = 120

SQL = """
    SELECT process_id, exe, computer, username, start_time, last_update_time, properties
    FROM processes
    ORDER BY start_time, process_id
"""

TABLE_SQL = f"""
    SELECT
        process_id,
        to_char(start_time, '%Y-%m-%d %H:%M:%S') AS started,
        coalesce(computer, '') AS host,
        left(regexp_replace(coalesce(properties['command-line'], exe), '^[^ ]*/', ''), {MAX_COMMAND_CHARS}) AS program
    FROM processes
    ORDER BY start_time, process_id
"""


@click.command(epilog="Example: flightsrv processes --url grpc://127.0.0.1:50051")
@format_option
@server_options
def processes(form: str, server: ServerAddress) -> None:
    """List the processes on the server, the most recently started last.

    The table has the main columns; the other formats have all properties.
    """
    run_query(TABLE_SQL if form == "table" else SQL, None, None, form, server)
