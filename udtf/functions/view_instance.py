"""`view_instance(view_set, instance_id)`: one view of one stream or process."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.functions.losses import tell_failures, tell_losses
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, kind_chosen
from udtf.lake.view import View
from udtf.views.kind import Part, in_order
from udtf.views.spans import PROPERTIES


class ViewInstance(TableFunction):
    """See the module."""

    name = "view_instance"
    parameters = (Parameter("view_set", "text"), Parameter("instance_id", "text"))

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "view_set" not in arguments:
            raise InvalidArgument("view_set decides the columns, so it cannot be a parameter: give it as text")
        return kind_chosen(arguments["view_set"]).columns

    def plan(self, query: Query, **arguments: Any) -> Rows:
        kind = kind_chosen(arguments["view_set"])
        instance_id: str = arguments["instance_id"]
        query.lake.process_of(kind, instance_id)

        def batches(columns: Collection[str] = kind.columns.names) -> Iterator[pa.RecordBatch]:
            telemetry = query.lake.instance(kind, instance_id)
            return _batches(query, query.view(kind, telemetry, with_attributes=PROPERTIES.name in columns))

        return Rows(kind.columns, batches, batches)


def _batches(query: Query, view: View) -> Iterator[pa.RecordBatch]:
    for part in parts_of(view):
        if part is None:
            yield pa.RecordBatch.from_pylist([], view.kind.columns)
        else:
            yield view.kind.batch(part, view.streams, row_streams(view, part))
    tell_failures(query, view)
    tell_losses(query, view)


def parts_of(view: View, *, by_stream: bool = False) -> Iterator[Part[Any] | None]:
    """The rows of a view; those of one stream in the order of its events, and where `by_stream` says so, of each; None
    now and then while there is nothing new."""
    by_stream = by_stream or (view.kind.instance_of == "stream" and len(view.streams) == 1)
    for window in view.windows():
        if window is None:
            yield None
            continue
        parts = in_order(window.parts) if by_stream else window.parts
        yield from (part for part in parts if len(part.columns))


def row_streams(view: View, part: Part[Any]) -> Any:
    """The stream of each row, as a place in the streams of the view."""
    assert view.index is not None
    return view.index.runs.streams[part.row_runs()]
