"""What is materialized, and the means to make or drop it: `list_view_sets()`, `list_partitions()`,
`materialize_partitions(view_set, instance, begin, end)` or `(view_set, begin, end, seconds)`,
`retire_partitions(view_set, instance, begin, end)`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from udtf.errors import NotFound
from udtf.functions.parameter import Parameter
from udtf.functions.table_function import Query, Rows, TableFunction, kind_chosen, range_given, rows_to_batch
from udtf.lake import schemas
from udtf.lake.time_range import TimeRange
from udtf.views.catalog import KINDS
from udtf.views.kind import Kind

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
        pa.field("process_id", pa.utf8(), nullable=False),
        pa.field("begin_time", schemas.TIMESTAMP, nullable=False),
        pa.field("end_time", schemas.TIMESTAMP, nullable=False),
        pa.field("first_segment", pa.int64(), nullable=False),
        pa.field("nb_segments", pa.int64(), nullable=False),
        pa.field("nb_rows", pa.int64(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("path", pa.utf8(), nullable=False),
        pa.field("source_hash", pa.utf8(), nullable=False),
        pa.field("insert_time", schemas.TIMESTAMP, nullable=False),
    ]
)

# The same under the names that clients of micromegas ask for.
_ALIASES = {
    "view_set_name": "view_set",
    "view_instance_id": "process_id",
    "min_event_time": "begin_time",
    "max_event_time": "end_time",
    "num_rows": "nb_rows",
    "file_size": "size_bytes",
    "file_path": "path",
    "source_data_hash": "source_hash",
    "updated": "insert_time",
}


def _with_aliases(schema: pa.Schema) -> pa.Schema:
    aliases = [schema.field(name).with_name(alias) for alias, name in _ALIASES.items() if name in schema.names]
    return pa.schema([*schema, *aliases])


def _aliased(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its columns under their other names as well."""
    schema = _with_aliases(batch.schema)
    columns = [batch.column(_ALIASES.get(name, name)) for name in schema.names]
    return pa.record_batch(columns, schema=schema)


CHANGE_COLUMNS = pa.schema(
    [
        pa.field("nb_partitions", pa.int64(), nullable=False),
        # The two that clients of micromegas ask for.
        pa.field("time", schemas.TIMESTAMP, nullable=False),
        pa.field("msg", pa.utf8(), nullable=False),
    ]
)

_VIEW_SET = Parameter("view_set", "text")
_INSTANCE = Parameter("instance", "text")
_RANGE = (Parameter("begin", "time"), Parameter("end", "time"))


class ListViewSets(TableFunction):
    """The view sets that there are."""

    name = "list_view_sets"

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return _with_aliases(VIEW_SET_COLUMNS)

    def plan(self, query: Query, **arguments: Any) -> Rows:
        columns = [
            [kind.name for kind in KINDS],
            [kind.instance_of for kind in KINDS],
            [kind.schema_version for kind in KINDS],
        ]
        batch = pa.record_batch(columns, schema=VIEW_SET_COLUMNS)
        return Rows(_with_aliases(VIEW_SET_COLUMNS), lambda: iter([_aliased(batch)]))


class ListPartitions(TableFunction):
    """The partitions that are visible."""

    name = "list_partitions"

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        return _with_aliases(PARTITION_COLUMNS)

    def plan(self, query: Query, **arguments: Any) -> Rows:
        scan = query.lake.metadata.partitions.scan
        return Rows(
            _with_aliases(PARTITION_COLUMNS),
            lambda: (_aliased(rows_to_batch(rows, PARTITION_COLUMNS)) for rows in scan()),
        )


class _ChangePartitions(TableFunction):
    """A function that does something to partitions when it runs, once: a row with their number, when it was done, and
    both in words."""

    requires_admin = True
    done: str

    def schema(self, arguments: Mapping[str, Any]) -> pa.Schema:
        if "view_set" in arguments:
            kind_chosen(arguments["view_set"])
        range_given(arguments)
        return CHANGE_COLUMNS

    def plan(self, query: Query, **arguments: Any) -> Rows:
        schema = self.schema(arguments)
        kind = kind_chosen(arguments["view_set"])
        time_range = TimeRange(arguments["begin"], arguments["end"])
        process_ids = self.process_ids(query, kind, **arguments)

        def batches() -> Iterator[pa.RecordBatch]:
            count = sum(self.change(query, kind, process_id, time_range) for process_id in process_ids)
            words = f"{count} partitions of {kind.name} {self.done}"
            yield pa.record_batch([[count], [time.time_ns()], [words]], schema=schema)

        return Rows(schema, batches)

    def process_ids(self, query: Query, kind: Kind, **arguments: Any) -> Sequence[str]:
        """The processes that the function is about."""
        return [query.lake.process_of(kind, arguments["instance"])]

    def change(self, query: Query, kind: Kind, process_id: str, time_range: TimeRange) -> int:
        """Do it for one of them; the number of partitions."""
        raise NotImplementedError


class MaterializePartitions(_ChangePartitions):
    """Make the partitions that a time range of an instance needs, which have all streams of its process; counts those
    that were not there."""

    name = "materialize_partitions"
    parameters = (_VIEW_SET, _INSTANCE, *_RANGE)
    done = "made"

    def change(self, query: Query, kind: Kind, process_id: str, time_range: TimeRange) -> int:
        return query.view(kind, query.lake.telemetry_of(process_id), time_range).materialize()


class MaterializeAllPartitions(MaterializePartitions):
    """The same for all processes, as micromegas has it.

    There a partition has the telemetry of some seconds, which are the last argument. Here it has a number of events,
    and the argument changes nothing.
    """

    parameters = (_VIEW_SET, *_RANGE, Parameter("seconds", "integer"))

    def process_ids(self, query: Query, kind: Kind, **arguments: Any) -> Sequence[str]:
        return query.lake.metadata.process_ids()

    def change(self, query: Query, kind: Kind, process_id: str, time_range: TimeRange) -> int:
        try:
            return super().change(query, kind, process_id, time_range)
        except NotFound:  # it has been removed meanwhile
            return 0


class RetirePartitions(_ChangePartitions):
    """Drop the partitions that an instance has in a time range, and with them those of other streams of its process;
    counts them."""

    name = "retire_partitions"
    parameters = (_VIEW_SET, _INSTANCE, *_RANGE)
    done = "retired"

    def change(self, query: Query, kind: Kind, process_id: str, time_range: TimeRange) -> int:
        return query.lake.retire(kind, process_id, time_range)
