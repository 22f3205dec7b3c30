"""Flight SQL commands, their results, and the tickets of this server, as frozen dataclasses (see `message`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar

from flightsrv.wire.message import FLIGHT_SQL, Message

# ---- Statements


@dataclass(frozen=True)
class CommandStatementQuery(Message):
    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True)
class SubstraitPlan(Message):
    """`plan` is itself an encoded message."""

    plan: bytes
    version: str = ""


@dataclass(frozen=True)
class CommandStatementSubstraitPlan(Message):
    plan: SubstraitPlan | None = None
    transaction_id: bytes | None = None


@dataclass(frozen=True)
class TicketStatementQuery(Message):
    statement_handle: bytes


@dataclass(frozen=True)
class CommandStatementUpdate(Message):
    query: str
    transaction_id: bytes | None = None


class TableNotExist(IntEnum):
    """What bulk ingestion does where the table is missing."""

    UNSPECIFIED = 0
    CREATE = 1
    FAIL = 2


class TableExists(IntEnum):
    """What bulk ingestion does where the table is there."""

    UNSPECIFIED = 0
    FAIL = 1
    APPEND = 2
    REPLACE = 3


@dataclass(frozen=True)
class TableDefinitionOptions(Message):
    package: ClassVar[str] = f"{FLIGHT_SQL}.CommandStatementIngest"
    if_not_exist: int = TableNotExist.UNSPECIFIED
    if_exists: int = TableExists.UNSPECIFIED


@dataclass(frozen=True)
class CommandStatementIngest(Message):
    table: str
    table_definition_options: TableDefinitionOptions | None = None
    schema: str | None = None
    catalog: str | None = None
    temporary: bool = False
    transaction_id: bytes | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class DoPutUpdateResult(Message):
    """`record_count` rows were changed; -1: not known. Travels bare."""

    record_count: int


# ---- Prepared statements


@dataclass(frozen=True)
class ActionCreatePreparedStatementRequest(Message):
    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True)
class ActionCreatePreparedSubstraitPlanRequest(Message):
    plan: SubstraitPlan | None = None
    transaction_id: bytes | None = None


@dataclass(frozen=True)
class ActionCreatePreparedStatementResult(Message):
    """Schemas are IPC messages, empty where there is none."""

    prepared_statement_handle: bytes
    dataset_schema: bytes
    parameter_schema: bytes
    is_update: bool | None = None


@dataclass(frozen=True)
class ActionClosePreparedStatementRequest(Message):
    prepared_statement_handle: bytes


@dataclass(frozen=True)
class CommandPreparedStatementQuery(Message):
    prepared_statement_handle: bytes


@dataclass(frozen=True)
class CommandPreparedStatementUpdate(Message):
    prepared_statement_handle: bytes


@dataclass(frozen=True)
class DoPutPreparedStatementResult(Message):
    """The handle to use from now on. Travels bare."""

    prepared_statement_handle: bytes | None = None


# ---- Cancelling


@dataclass(frozen=True)
class ActionCancelQueryRequest(Message):
    """`info` is an encoded FlightInfo."""

    info: bytes


@dataclass(frozen=True)
class ActionCancelQueryResult(Message):
    """`result` is a CancelStatus."""

    result: int


# ---- What there is to query


@dataclass(frozen=True)
class CommandGetCatalogs(Message):
    pass


@dataclass(frozen=True)
class CommandGetDbSchemas(Message):
    catalog: str | None = None
    db_schema_filter_pattern: str | None = None


@dataclass(frozen=True)
class CommandGetTables(Message):
    catalog: str | None = None
    db_schema_filter_pattern: str | None = None
    table_name_filter_pattern: str | None = None
    table_types: tuple[str, ...] = ()
    include_schema: bool = False


@dataclass(frozen=True)
class CommandGetTableTypes(Message):
    pass


@dataclass(frozen=True)
class CommandGetSqlInfo(Message):
    info: tuple[int, ...] = ()


@dataclass(frozen=True)
class CommandGetXdbcTypeInfo(Message):
    data_type: int | None = None


@dataclass(frozen=True)
class CommandGetPrimaryKeys(Message):
    table: str
    catalog: str | None = None
    db_schema: str | None = None


@dataclass(frozen=True)
class CommandGetExportedKeys(Message):
    table: str
    catalog: str | None = None
    db_schema: str | None = None


@dataclass(frozen=True)
class CommandGetImportedKeys(Message):
    table: str
    catalog: str | None = None
    db_schema: str | None = None


@dataclass(frozen=True)
class CommandGetCrossReference(Message):
    pk_table: str
    fk_table: str
    pk_catalog: str | None = None
    pk_db_schema: str | None = None
    fk_catalog: str | None = None
    fk_db_schema: str | None = None


# ---- Tickets of this server


@dataclass(frozen=True)
class QueryTicket(Message):
    """All that is needed to run a query; see `flightsrv/flightsql/tickets.py`."""

    package: ClassVar[str] = "flightsrv"
    sql: str
    parameters: bytes | None = None
    prepared_statement_handle: bytes | None = None
    range_begin_ns: int | None = None
    range_end_ns: int | None = None
    strict: bool = False
    preserve_dictionary: bool = False
    query_id: str = ""
    substrait_plan: bytes | None = None
    db_schema: str | None = None
