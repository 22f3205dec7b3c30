"""What a table and a table function are to the rest of `udtf`, with nothing of DataFusion in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.execution.cancellation import Cancellation
from udtf.functions.parameter import Parameter
from udtf.functions.query_context import QueryContext
from udtf.functions.settings import QuerySettings
from udtf.lake.lake import Lake
from udtf.lake.metadata import StreamRow
from udtf.lake.schemas import CPU_TAG, THREAD_TAG
from udtf.lake.time_range import TimeRange
from udtf.lake.view import Telemetry, View
from udtf.observability.metrics import QueryTally
from udtf.views.catalog import KINDS, kind_named
from udtf.views.kind import Kind


@dataclass(frozen=True)
class OfProcesses:
    """A table whose rows are each of one process, so that a condition on processes saves the reading of others.

    Attributes:
        known: what is known of each process before any row is read, in columns of the table: its `process_id` at least.
        rows: the same table of the processes with these ids alone.
    """

    known: Callable[[], pa.Table]
    rows: Callable[[Collection[str]], "Rows"]


@dataclass(frozen=True)
class Rows:
    """A table as planned: nothing is read before `batches` is called and iterated. Batches carry the schema.

    `with_columns`, where there is one, gives the same rows with the columns that are named; others may be missing, or
    empty.
    """

    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    with_columns: Callable[[Collection[str]], Iterator[pa.RecordBatch]] | None = None
    of_processes: OfProcesses | None = None


@dataclass(frozen=True)
class Query:
    """What a table function works with."""

    lake: Lake
    context: QueryContext
    settings: QuerySettings
    tally: QueryTally
    cancellation: Cancellation = field(default_factory=Cancellation)

    def view(
        self,
        kind: Kind,
        telemetry: Telemetry,
        time_range: TimeRange | None = None,
        *,
        with_attributes: bool = False,
    ) -> View:
        """One kind of telemetry of a process; by default, for the time range of the query."""
        return self.lake.view(
            kind,
            telemetry,
            self.context.range if time_range is None else time_range,
            max_reads=self.settings.max_scans,
            tally=self.tally,
            cancellation=self.cancellation,
            with_attributes=with_attributes,
        )


class TableFunction(ABC):
    """A function that SQL calls in place of a table, with constant arguments."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    requires_admin = False

    @abstractmethod
    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        """The columns, from those arguments that are known: one that a prepared statement leaves open is missing.

        Raises:
            InvalidArgument: an argument is wrong, or one that decides the columns is missing.
        """

    @abstractmethod
    def plan(self, query: Query, **arguments: Any) -> Rows:
        """Check the arguments, and say how the rows come about.

        Raises:
            InvalidArgument, NotFound: an argument is wrong; the message names it.
        """


def range_given(arguments: Mapping[str, Any]) -> TimeRange | None:
    """The range from `begin` to `end` of a function's arguments; None where a prepared statement leaves one open.

    Raises:
        InvalidArgument: it ends before it begins.
    """
    if "begin" in arguments and "end" in arguments:
        return TimeRange(arguments["begin"], arguments["end"])
    return None


def choose(name: str, value: str, choices: tuple[str, ...]) -> str:
    """The value, if it is one of the choices.

    Raises:
        InvalidArgument: it is not.
    """
    if value not in choices:
        *most, last = [repr(choice) for choice in choices]
        accepted = f"{', '.join(most)}{',' if len(most) > 1 else ''} or {last}"
        raise InvalidArgument(f"{name} must be {accepted}, given: {value!r}")
    return value


def kind_chosen(view_set: str) -> Kind:
    """The kind of telemetry that an argument `view_set` names.

    Raises:
        InvalidArgument: there is none of this name.
    """
    return kind_named(choose("view_set", view_set, tuple(kind.name for kind in KINDS)))


def shown_streams(streams: Sequence[StreamRow]) -> list[StreamRow]:
    """Streams as SQL shows them: threads are tagged `cpu` as well, by which other clients look for them."""
    return [
        replace(stream, tags=[*stream.tags, CPU_TAG]) if THREAD_TAG in stream.tags else stream for stream in streams
    ]


def rows_to_batch(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    """Metadata rows, objects with an attribute per column, as a record batch."""
    columns = []
    for column in schema:
        values = [getattr(row, column.name) for row in rows]
        if pa.types.is_map(column.type):
            values = [sorted(value.items()) for value in values]
        columns.append(pa.array(values, column.type))
    return pa.record_batch(columns, schema=schema)
