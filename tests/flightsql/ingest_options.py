"""Ways to ingest that would do more than add rows."""

from flightsrv.wire.flight_sql_pb2 import CommandStatementIngest

TableDefinitionOptions = CommandStatementIngest.TableDefinitionOptions

CREATE = TableDefinitionOptions(
    if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_CREATE,
    if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_FAIL,
)
REPLACE = TableDefinitionOptions(
    if_not_exist=TableDefinitionOptions.TABLE_NOT_EXIST_OPTION_CREATE,
    if_exists=TableDefinitionOptions.TABLE_EXISTS_OPTION_REPLACE,
)
