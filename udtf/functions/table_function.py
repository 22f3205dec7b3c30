"""What a table and a table function are to the rest of `udtf`, with nothing of DataFusion in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.execution.cancellation import Cancellation
from udtf.functions.parameter import Parameter
from udtf.lake.lake import VIEW_SETS, Lake
from udtf.lake.process_view import ProcessView
from udtf.lake.view_set import ViewSet
from udtf.metrics import QueryTally
from udtf.query_context import QueryContext
from udtf.settings import QuerySettings


@dataclass(frozen=True)
class Rows:
    """A table as planned: nothing is read before `batches` is called and iterated. Batches carry the schema."""

    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Query:
    """What a table function works with."""

    lake: Lake
    context: QueryContext
    settings: QuerySettings
    tally: QueryTally
    cancellation: Cancellation = field(default_factory=Cancellation)

    def scans_at_once(self, *views: ProcessView[Any]) -> int:
        """How many streams to read at once beside the thread of the reader, which needs no help where nothing has to
        be waited for."""
        if self.lake.objects.is_local and all(view.is_fresh for view in views):
            return 0
        return self.settings.max_scans or self.lake.concurrency


class TableFunction(ABC):
    """A function that SQL calls in place of a table, with constant arguments."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    is_for_administrators = False

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


def view_set_named(value: str) -> ViewSet[Any]:
    """The view set that an argument `view_set` names."""
    return VIEW_SETS[choose("view_set", value, tuple(VIEW_SETS))]
