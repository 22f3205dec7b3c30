from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class QueryTicket(_message.Message):
    __slots__ = ("sql", "parameters", "prepared_statement_handle", "range_begin_ns", "range_end_ns", "strict", "preserve_dictionary", "query_id", "substrait_plan", "db_schema")
    SQL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PREPARED_STATEMENT_HANDLE_FIELD_NUMBER: _ClassVar[int]
    RANGE_BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    RANGE_END_NS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_DICTIONARY_FIELD_NUMBER: _ClassVar[int]
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    SUBSTRAIT_PLAN_FIELD_NUMBER: _ClassVar[int]
    DB_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    sql: str
    parameters: bytes
    prepared_statement_handle: bytes
    range_begin_ns: int
    range_end_ns: int
    strict: bool
    preserve_dictionary: bool
    query_id: str
    substrait_plan: bytes
    db_schema: str
    def __init__(self, sql: _Optional[str] = ..., parameters: _Optional[bytes] = ..., prepared_statement_handle: _Optional[bytes] = ..., range_begin_ns: _Optional[int] = ..., range_end_ns: _Optional[int] = ..., strict: _Optional[bool] = ..., preserve_dictionary: _Optional[bool] = ..., query_id: _Optional[str] = ..., substrait_plan: _Optional[bytes] = ..., db_schema: _Optional[str] = ...) -> None: ...
