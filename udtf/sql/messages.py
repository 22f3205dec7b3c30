"""What the engine and a worker say to each other, over a channel (`udtf.workers.channel`).

The engine sends a `Greeting`, then for each statement a `Plan` and, if rows are wanted, a `Run`. While the worker
plans, it asks for tables (`TableWanted`); each is answered by a `PlannedTable` or, where there is a reason against it,
a `TableRefused`. Then it says `Planned` or `Failed`. While it runs, it asks for rows (`ScanWanted`), which is answered
by a socket that they come over; its own rows are `Rows`, and the last word is `Ended` or `Failed`.

A message is JSON, followed by what that cannot hold: schemas, rows and constants in Arrow IPC, and bytes. An engine
takes nothing for granted in what a worker sends: `decode_reply` gives a message of the right types, or raises.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

from udtf.arrow.messages import MessageGuard, check_names, open_stream
from udtf.arrow.plain_types import check_readable, has_dictionaries, plain_schema
from udtf.errors import InvalidArgument
from udtf.functions.parameter import Parameter, Value
from udtf.sql.conditions import Condition
from udtf.sql.tables import Catalog, PlannedTable, SessionLimits, TableScan
from udtf.workers.channel import MalformedMessage

MAX_HEAD_BYTES = 4 << 20
"""Most bytes of the JSON of a reply."""

MAX_ROWS = 1 << 24
"""Most rows of a batch of a reply."""

Reason = Literal["statement", "limit", "system", "panic"]


@dataclass(frozen=True)
class Greeting:
    """What a worker must know before anything else."""

    catalog: Catalog
    limits: SessionLimits


@dataclass(frozen=True)
class Plan:
    """A statement to plan: its text, or a Substrait plan.

    One that is open has parameters without values: it is not run, and the types of its parameters are wanted.
    """

    statement: str | bytes
    db_schema: str
    is_open: bool = False


@dataclass(frozen=True)
class TableWanted:
    """A table function is called; a value that is still open is missing."""

    function: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class TableRefused:
    """There is a reason against a table; the engine keeps it to itself."""


@dataclass(frozen=True)
class Planned:
    """A statement has been planned.

    Attributes:
        parameters: by placeholder (`$1`), those whose type is settled.
        scan: what the statement comes down to, if that is the rows of one table and nothing else.
    """

    schema: pa.Schema
    parameters: pa.Schema
    scan: TableScan | None


@dataclass(frozen=True)
class Run:
    """The rows of the statement that was planned last are wanted."""


@dataclass(frozen=True)
class ScanWanted:
    """Rows of a table are wanted, over a channel on a socket that the engine sends."""

    scan: TableScan


@dataclass(frozen=True)
class Rows:
    """Some rows of the result."""

    batch: pa.RecordBatch


@dataclass(frozen=True)
class Ended:
    """All rows have been sent."""


@dataclass(frozen=True)
class Failed:
    """A statement failed: it was wrong, hit a limit, got no room from the system, or met a mistake of DataFusion's."""

    why: Reason
    message: str


Message = (
    Greeting | Plan | TableWanted | PlannedTable | TableRefused | Planned | Run | ScanWanted | Rows | Ended | Failed
)
Reply = TableWanted | Planned | ScanWanted | Rows | Ended | Failed
"""What a worker sends."""


def encode(message: Message) -> list[bytes | pa.Buffer]:
    """The parts of a message."""
    parts: list[bytes | pa.Buffer] = [b""]

    def part(data: bytes | pa.Buffer) -> int:
        parts.append(data)
        return len(parts) - 1

    def plain(value: Any) -> object:
        if isinstance(value, pa.Schema):
            return part(value.serialize())
        if isinstance(value, pa.RecordBatch):
            return part(batch_bytes(value))
        if isinstance(value, pa.Scalar):
            return part(batch_bytes(pa.record_batch({"constant": pa.repeat(value, 1)})))
        if isinstance(value, bytes):
            return {"bytes": part(value)}
        if is_dataclass(value):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        raise TypeError(f"no message holds {value!r}")

    parts[0] = json.dumps({"type": type(message).__name__, "message": message}, default=plain).encode()
    return parts


def batch_bytes(batch: pa.RecordBatch) -> pa.Buffer:
    """Rows with all that it takes to read them, in one piece: columns are many, and calls take time."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def decode_request(parts: Sequence[pa.Buffer]) -> Message:
    """A message of the engine, which workers trust."""
    head = json.loads(bytes(parts[0]))
    return _REQUESTS[head["type"]](head["message"], parts)


def _greeting(given: Any, parts: Sequence[pa.Buffer]) -> Greeting:
    catalog = given["catalog"]
    tables = {name: _trusted_schema(parts[number]) for name, number in catalog["tables"].items()}
    functions = {
        name: [[Parameter(**parameter) for parameter in parameters] for parameters in forms]
        for name, forms in catalog["functions"].items()
    }
    return Greeting(Catalog(tables, functions), SessionLimits(**given["limits"]))


def _plan(given: Any, parts: Sequence[pa.Buffer]) -> Plan:
    statement = given["statement"]
    if not isinstance(statement, str):
        statement = parts[statement["bytes"]].to_pybytes()
    return Plan(statement, given["db_schema"], given["is_open"])


def _trusted_schema(data: pa.Buffer) -> pa.Schema:
    return pa.ipc.read_schema(data)


_REQUESTS: Mapping[str, Callable[[Any, Sequence[pa.Buffer]], Message]] = {
    "Greeting": _greeting,
    "Plan": _plan,
    "PlannedTable": lambda given, parts: PlannedTable(given["key"], _trusted_schema(parts[given["schema"]])),
    "TableRefused": lambda given, parts: TableRefused(),
    "Run": lambda given, parts: Run(),
}


def decode_reply(parts: Sequence[pa.Buffer], max_bytes: int) -> Reply:
    """A message of a worker.

    Args:
        max_bytes: most bytes of rows without compression.

    Raises:
        MalformedMessage: it is none.
    """
    try:
        head = parts[0]
        if len(head) > MAX_HEAD_BYTES:
            raise MalformedMessage(f"a reply has {len(head)} bytes of JSON, expected at most {MAX_HEAD_BYTES}")
        read = json.loads(bytes(head))
        return _Reply(parts, max_bytes).message(read["type"], read["message"])
    except MalformedMessage:
        raise
    except Exception as error:
        raise MalformedMessage(f"a reply cannot be read: {error}") from error


class _Reply:
    """Reads what a worker has written. Raises whatever Python raises for values of other types."""

    def __init__(self, parts: Sequence[pa.Buffer], max_bytes: int) -> None:
        self._parts = parts
        self._max_bytes = max_bytes

    def message(self, kind: object, given: Any) -> Reply:
        match kind:
            case "TableWanted":
                values = {_text(name): _value(value) for name, value in given["values"].items()}
                return TableWanted(_text(given["function"]), values)
            case "Planned":
                return self._planned(given)
            case "ScanWanted":
                return ScanWanted(self._scan(given["scan"]))
            case "Rows":
                return Rows(self._batch(given["batch"]))
            case "Ended":
                return Ended()
            case "Failed" if given["why"] in get_args(Reason):
                return Failed(given["why"], _text(given["message"]))
        raise MalformedMessage("a reply of no known type")

    def _planned(self, given: Any) -> Planned:
        schema = self._schema(given["schema"])
        scan = None if given["scan"] is None else self._scan(given["scan"])
        if scan is not None and len(scan.columns) != len(schema):
            raise MalformedMessage("a reply has a scan of other columns than were planned")
        return Planned(schema, self._schema(given["parameters"]), scan)

    def _part(self, number: object) -> pa.Buffer:
        if type(number) is not int or not 0 < number < len(self._parts):
            raise MalformedMessage("a reply refers to a part that it does not have")
        return self._parts[number]

    def _schema(self, number: object) -> pa.Schema:
        schema = pa.ipc.read_schema(self._part(number))
        check_names(schema)
        check_readable(schema)
        if plain_schema(schema) != schema:
            raise MalformedMessage("a reply has columns of types that no client is sent")
        return schema

    def _batch(self, number: object) -> pa.RecordBatch:
        guard = MessageGuard(self._max_bytes, MAX_ROWS)
        batch = open_stream(self._part(number), guard).read_next_batch()
        batch.validate(full=True)
        if any(map(has_dictionaries, batch.schema.types)):
            guard.check_rows(batch)
        return batch

    def _scan(self, given: Any) -> TableScan:
        key = given["key"]
        if type(key) not in (str, int):
            raise MalformedMessage("a reply names no table")
        condition = given["filter"]
        return TableScan(
            key,
            tuple(map(_text, given["columns"])),
            None if condition is None else Condition(self._tree(condition["tree"])),
        )

    def _tree(self, given: Any) -> tuple[Any, ...]:
        name, *operands = given
        if name == "field":
            return name, *operands
        if name == "constant":
            (number,) = operands
            return name, self._batch(number).column(0)[0]
        return name, *map(self._tree, operands)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise MalformedMessage("a reply has something else where text belongs")
    return given


def _value(given: object) -> Value:
    if not isinstance(given, str | int | bool):
        raise InvalidArgument("a reply has an argument of no known type")
    return given
