"""What is materialized, and the means to make or drop it: `list_view_sets()`, `list_partitions()`,
`materialize_partitions(view_set, instance, begin, end)`, `retire_partitions(view_set, instance, begin, end)`."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, view_set_named
from udtf.functions.telemetry_tables import rows_to_batch
from udtf.lake import schemas
from udtf.lake.lake import VIEW_SETS
from udtf.time_range import TimeRange

VIEW_SET_COLUMNS = pa.schema(
    [
        pa.field("view_set", pa.utf8(), nullable=False),
        pa.field("instance_of", pa.utf8(), nullable=False),
        pa.field("schema_version", pa.int32(), nullable=False),
    ]
)

PARTITION_COLUMNS = pa.schema(
    [
        pa.field("partition_id", pa.utf8(), nullable=False),
        pa.field("view_set", pa.utf8(), nullable=False),
        pa.field("instance_id", pa.utf8(), nullable=False),
        pa.field("process_id", pa.utf8(), nullable=False),
        pa.field("stream_id", pa.utf8(), nullable=False),
        pa.field("begin_time", schemas.TIMESTAMP, nullable=False),
        pa.field("end_time", schemas.TIMESTAMP, nullable=False),
        pa.field("begin_offset", pa.int64(), nullable=False),
        pa.field("end_offset", pa.int64(), nullable=False),
        pa.field("nb_rows", pa.int64(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("path", pa.utf8(), nullable=False),
        pa.field("source_hash", pa.utf8(), nullable=False),
        pa.field("insert_time", schemas.TIMESTAMP, nullable=False),
    ]
)

COUNT_COLUMNS = pa.schema([pa.field("nb_partitions", pa.int64(), nullable=False)])

_RANGE_OF_INSTANCE = (
    Parameter("view_set", "text"),
    Parameter("instance", "text"),
    Parameter("begin", "time"),
    Parameter("end", "time"),
)


class ListViewSets(TableFunction):
    """The view sets that there are."""

    name = "list_view_sets"

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return VIEW_SET_COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        columns = [
            [view_set.name for view_set in VIEW_SETS.values()],
            [view_set.instance_of for view_set in VIEW_SETS.values()],
            [view_set.schema_version for view_set in VIEW_SETS.values()],
        ]
        return Rows(VIEW_SET_COLUMNS, lambda: iter([pa.record_batch(columns, schema=VIEW_SET_COLUMNS)]))


class ListPartitions(TableFunction):
    """The partitions that are visible."""

    name = "list_partitions"

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return PARTITION_COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        scan = query.lake.metadata.scan_partitions
        return Rows(PARTITION_COLUMNS, lambda: (rows_to_batch(rows, PARTITION_COLUMNS) for rows in scan()))


class _ChangePartitions(TableFunction):
    """A function that does something when it runs, once, and tells for how many partitions."""

    parameters = _RANGE_OF_INSTANCE
    is_for_administrators = True

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "view_set" in arguments:
            view_set_named(arguments["view_set"])
        if "begin" in arguments and "end" in arguments:
            TimeRange(arguments["begin"], arguments["end"])
        return COUNT_COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        view_set = view_set_named(arguments["view_set"])
        instance: str = arguments["instance"]
        time_range = TimeRange(arguments["begin"], arguments["end"])
        query.lake.check_instance(view_set, instance)

        def batches() -> Iterator[pa.RecordBatch]:
            yield pa.record_batch([[self.change(query, view_set, instance, time_range)]], schema=schema)

        return Rows(schema, batches)

    def change(self, query: Query, view_set: Any, instance: str, time_range: TimeRange) -> int:
        raise NotImplementedError


class MaterializePartitions(_ChangePartitions):
    """Make the partitions that a time range of an instance needs; counts those that were not there."""

    name = "materialize_partitions"

    def change(self, query: Query, view_set: Any, instance: str, time_range: TimeRange) -> int:
        return query.lake.materialize(view_set, instance, time_range, query.tally)


class RetirePartitions(_ChangePartitions):
    """Drop the partitions of an instance that overlap a time range; counts them."""

    name = "retire_partitions"

    def change(self, query: Query, view_set: Any, instance: str, time_range: TimeRange) -> int:
        return query.lake.retire(view_set, instance, time_range)
