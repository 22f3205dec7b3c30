"""Bulk ingestion of telemetry: an upload of rows into `processes`, `streams` or `blocks`."""

from flightsrv.flight.call import Call
from flightsrv.flight.upload import Upload
from flightsrv.flightsql.refusals import refuse_transaction
from flightsrv.policy.auth.principal import Role
from flightsrv.wire.flight_sql_pb2 import CommandStatementIngest, DoPutUpdateResult
from udtf.errors import AlreadyExists, InvalidArgument, InvalidTelemetry, NotFound
from udtf.functions.namespace import CATALOG, DEFAULT_SCHEMA

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

TABLES = ("processes", "streams", "blocks")


def ingest(call: Call, command: CommandStatementIngest, upload: Upload) -> DoPutUpdateResult:
    """Store the rows of an upload, each record batch whole or not at all.

    Raises:
        InvalidArgument: the command asks for what a lake does not do: create, replace, temporary tables.
        AlreadyExists: it asks for a table that must not be there.
        InvalidTelemetry: a record batch was refused; those before it are stored, and the message says how many rows.
        NotFound: no such table.
        PermissionDenied: the caller may not write, or not to these processes.
    """
    call.kind = "ingestion"
    call.statement = f"ingest into {command.table}"
    call.principal.require(Role.WRITER, "to ingest")
    _check_target(command)
    visible = call.principal.visible_processes
    lake = call.services.lake if visible is None else call.services.lake.limited_to(visible)
    for batch in upload.batches():
        try:
            call.rows += lake.ingest(command.table, batch)
        except InvalidTelemetry as e:
            if not call.rows:
                raise
            raise InvalidTelemetry(f"{e} (the record batches before this one are stored: {call.rows} rows)") from e
        call.size_bytes += batch.nbytes
    call.succeed()
    return DoPutUpdateResult(record_count=call.rows)


def _check_target(command: CommandStatementIngest) -> None:
    wanted = command.table_definition_options
    refuse_transaction(command)
    if command.temporary:
        raise InvalidArgument("temporary tables are not offered; telemetry goes into " + ", ".join(TABLES))
    for kind, given, name in (("catalog", command.catalog, CATALOG), ("schema", command.schema, DEFAULT_SCHEMA)):
        if given and given != name:
            raise NotFound(f"no {kind} {given!r} to ingest into; there is {name!r}")
    if command.options:
        raise InvalidArgument(f"unknown ingestion options: {', '.join(sorted(command.options))}")
    if command.table not in TABLES:
        if wanted.if_not_exist == TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_CREATE:
            raise InvalidArgument(f"table {command.table!r} cannot be created: telemetry goes into {', '.join(TABLES)}")
        raise NotFound(f"no table {command.table!r} to ingest into; there are {', '.join(TABLES)}")
    if wanted.if_exists == TableDefinitionOptions.TABLE_EXISTS_OPTION_FAIL:
        raise AlreadyExists(f"table {command.table} already exists; ingest in append mode")
    if wanted.if_exists == TableDefinitionOptions.TABLE_EXISTS_OPTION_REPLACE:
        raise InvalidArgument(f"table {command.table} cannot be replaced, only appended to; ingest in append mode")
