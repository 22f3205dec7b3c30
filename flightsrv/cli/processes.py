"""`flightsrv processes`: what there is to look at."""

import click

from flightsrv.cli.options import ServerAddress, server_options
from flightsrv.cli.query import format_option, run_query

SQL = """
    SELECT process_id, exe, computer, username, start_time, last_update_time, properties
    FROM processes
    ORDER BY start_time, process_id
"""


@click.command(epilog="Example: flightsrv processes --url grpc://127.0.0.1:50051")
@format_option
@server_options
def processes(form: str, server: ServerAddress) -> None:
    """List the processes that the server knows, those that started first on top."""
    run_query(SQL, None, None, form, server)
