"""A query engine that answers a few statements in ways that real ones rarely do: never, too late, not to the end."""

import threading
from collections.abc import Callable, Generator, Iterator

import pyarrow as pa

from udtf.errors import CorruptData
from udtf.execution.cancellation import QueryCancelled
from udtf.functions.query_context import QueryContext
from udtf.sql.engine import Prepared

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("payload", pa.binary())])
TIMEOUT_S = 60.0


def batch(first: int, rows: int = 1, payload_bytes: int = 0) -> pa.RecordBatch:
    """Rows numbered from `first`."""
    return pa.record_batch(
        [pa.array(range(first, first + rows), pa.int64()), pa.array([bytes(payload_bytes)] * rows, pa.binary())],
        schema=SCHEMA,
    )


class FakeEngine:
    """Answers the statements in STATEMENTS. `entered` tells that one began to run, `ended` that it ended."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.ended = threading.Event()

    def plan(self, sql: str, context: QueryContext | None = None) -> "FakeQuery":
        if sql == "fail to plan":
            raise ZeroDivisionError("/srv/secret/path.py")
        return FakeQuery(self, sql, context or QueryContext())

    def prepare(self, sql: str, context: QueryContext | None = None) -> Prepared:
        return Prepared(self.plan(sql, context).schema, {})

    def close(self) -> None:
        self.released.set()


class FakeQuery:
    def __init__(self, engine: FakeEngine, sql: str, context: QueryContext) -> None:
        self._engine = engine
        self._context = context
        self._make = STATEMENTS[sql]
        self.schema = DICTIONARY_SCHEMA if "dictionar" in sql else SCHEMA

    def batches(self, is_cancelled: Callable[[], bool]) -> Generator[pa.RecordBatch, None, None]:
        self._engine.entered.set()
        try:
            yield from self._make(self._engine, self._context, is_cancelled)
        finally:
            self._engine.ended.set()


IsCancelled = Callable[[], bool]


def _wait(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    """One row, then nothing until the test lets it go on or the call is cancelled, then one more."""
    yield batch(0)
    while not engine.released.wait(0.01):
        if is_cancelled():
            raise QueryCancelled("the query was cancelled")
    yield batch(1)


def _deaf(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    """One row, then nothing until the test lets it go on, cancelled or not."""
    yield batch(0)
    engine.released.wait(TIMEOUT_S)
    yield batch(1)


def _forever(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    number = 0
    while True:
        yield batch(number, payload_bytes=1 << 16)
        number += 1


def _fail_late(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    yield from (batch(0), batch(1), batch(2))
    raise CorruptData("block b7 cannot be read")


def _break_late(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    yield batch(0)
    raise ZeroDivisionError("/srv/secret/path.py")


class Panic(BaseException):
    """What DataFusion's panics are: no Exception."""


def _panic(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    yield batch(0)
    raise Panic("/srv/secret/path.rs")


def _large(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    """40 MiB in one batch, one row of it larger than all messages should be."""
    small = batch(0, rows=360, payload_bytes=100 << 10)
    yield pa.Table.from_batches([small, batch(360, payload_bytes=4 << 20)]).combine_chunks().to_batches()[0]


def _progress(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    context.on_message({"type": "thread_done", "stream_id": "s1"})
    yield batch(0)
    context.on_message({"type": "thread_failed", "stream_id": "s2", "message": "corrupt"})
    yield batch(1)


def _silent(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    """A message, then nothing but empty batches until the test lets it go on, then one row."""
    context.on_message({"type": "progress", "message": "working"})
    while not engine.released.wait(0.01):
        yield batch(0, rows=0)
    yield batch(0)


def _dictionaries(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    for names in (["a", "b", "a"], ["c", "a", None]):
        yield pa.record_batch([pa.array(names).dictionary_encode()], schema=DICTIONARY_SCHEMA)


def _large_dictionary(engine: FakeEngine, context: QueryContext, is_cancelled: IsCancelled) -> Iterator[pa.RecordBatch]:
    """Few bytes of rows, 30 MiB of names, a null among them, in one batch."""
    names = pa.array([f"{number:06}" + "x" * (100 << 10) for number in range(300)])
    indices = pa.array([*range(300), None, *range(300)], pa.int32())
    yield pa.record_batch([pa.DictionaryArray.from_arrays(indices, names)], schema=DICTIONARY_SCHEMA)


DICTIONARY_SCHEMA = pa.schema([("name", pa.dictionary(pa.int32(), pa.utf8()))])
STATEMENTS: dict[str, Callable[[FakeEngine, QueryContext, IsCancelled], Iterator[pa.RecordBatch]]] = {
    "wait": _wait,
    "deaf": _deaf,
    "forever": _forever,
    "fail late": _fail_late,
    "break late": _break_late,
    "panic": _panic,
    "large": _large,
    "progress": _progress,
    "silent": _silent,
    "dictionaries": _dictionaries,
    "large dictionary": _large_dictionary,
}
