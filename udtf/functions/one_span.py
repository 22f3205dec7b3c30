"""What functions of one span have in common: `(process_id, stream_id, id[, begin, end])`. A span is known by its stream
and its id there, as `process_spans` shows them; the range is that in which it is looked for.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from udtf.errors import InvalidArgument
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, range_given
from udtf.lake.time_range import MAX_TIME_NS, MIN_TIME_NS, TimeRange
from udtf.lake.view import Telemetry


class OneSpanFunction(TableFunction):
    """A table function about one span; its rows are of `columns`."""

    parameters = (
        Parameter("process_id", "text"),
        Parameter("stream_id", "text"),
        Parameter("id", "integer"),
        Parameter("begin", "time", MIN_TIME_NS),
        Parameter("end", "time", MAX_TIME_NS),
    )
    columns: pa.Schema

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        range_given(arguments)
        return self.columns

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        query.lake.metadata.process(arguments["process_id"])
        time_range = TimeRange(arguments["begin"], arguments["end"]).within(query.context.range)

        def batches(columns: Collection[str] = schema.names) -> Iterator[pa.RecordBatch]:
            if time_range is None:
                return
            telemetry = query.lake.telemetry_of(arguments["process_id"])
            stream_id: str = arguments["stream_id"]
            if stream_id not in {stream.stream_id for stream in telemetry.streams}:
                raise InvalidArgument(f"stream_id must be that of a stream of the process, given: {stream_id!r}")
            yield from self.rows(query, telemetry, stream_id, arguments["id"], time_range, columns)

        return Rows(schema, batches, batches)

    @abstractmethod
    def rows(
        self,
        query: Query,
        telemetry: Telemetry,
        stream_id: str,
        span_id: int,
        time_range: TimeRange,
        columns: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        """The rows; columns that are not among `columns` may be empty."""
