"""The tables of the metadata database. Times are integers, nanoseconds since the Unix epoch.

Every row ends with `row_hash`, a hash of its other columns: see `rows.py`.
"""

import sqlalchemy as sa

TABLES = sa.MetaData()


def _row_hash() -> sa.Column[int]:
    return sa.Column("row_hash", sa.BigInteger, nullable=False)


processes = sa.Table(
    "processes",
    TABLES,
    sa.Column("process_id", sa.Text, primary_key=True),
    sa.Column("exe", sa.Text),
    sa.Column("username", sa.Text),
    sa.Column("realname", sa.Text),
    sa.Column("computer", sa.Text),
    sa.Column("distro", sa.Text),
    sa.Column("cpu_brand", sa.Text),
    sa.Column("tsc_frequency", sa.BigInteger, nullable=False),
    sa.Column("start_time", sa.BigInteger, nullable=False),
    sa.Column("start_ticks", sa.BigInteger, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    sa.Column("parent_process_id", sa.Text),
    sa.Column("properties", sa.Text, nullable=False),
    sa.Column("update_time", sa.BigInteger, nullable=False),
    _row_hash(),
    sa.Index("processes_by_start", "start_time", "process_id"),
)

streams = sa.Table(
    "streams",
    TABLES,
    sa.Column("stream_id", sa.Text, primary_key=True),
    sa.Column("process_id", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("properties", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
    _row_hash(),
    sa.Index("streams_of_a_process", "process_id", "insert_time", "stream_id"),
    sa.Index("streams_by_insertion", "insert_time", "stream_id"),
)

# How far the telemetry of a process has come: one row a process, the only one that changes with every upload.
histories = sa.Table(
    "histories",
    TABLES,
    sa.Column("process_id", sa.Text, primary_key=True),
    # Of the row: a process that was removed and sent again has another history.
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    # Segments are numbered from 0 on, in the order in which they were stored; those below the first have been removed.
    sa.Column("first_segment", sa.BigInteger, nullable=False),
    sa.Column("nb_segments", sa.BigInteger, nullable=False),
    # Of the objects of these segments.
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("last_end_ticks", sa.BigInteger),
    sa.Column("last_end_time", sa.BigInteger),
    sa.Column("update_time", sa.BigInteger, nullable=False),
    _row_hash(),
    sa.Index("histories_by_end", "last_end_time"),
)

segments = sa.Table(
    "segments",
    TABLES,
    sa.Column("process_id", sa.Text, primary_key=True),
    sa.Column("first_segment", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("nb_events", sa.BigInteger, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("object_key", sa.Text, nullable=False),
    sa.Column("object_begin", sa.BigInteger, nullable=False),
    sa.Column("object_end", sa.BigInteger, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    sa.Column("blocks", sa.LargeBinary, nullable=False),
    sa.Column("index", sa.LargeBinary, nullable=False),
    _row_hash(),
    sa.Index("segments_by_object", "object_key"),
)

# What several segments have in common, so that a reader of their surroundings need not look at each.
rollups = sa.Table(
    "rollups",
    TABLES,
    sa.Column("process_id", sa.Text, primary_key=True),
    sa.Column("nb_segments", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first_segment", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("nb_events", sa.BigInteger, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("index", sa.LargeBinary, nullable=False),
    _row_hash(),
)

partitions = sa.Table(
    "partitions",
    TABLES,
    sa.Column("partition_id", sa.Text, primary_key=True),
    sa.Column("view_set", sa.Text, nullable=False),
    sa.Column("process_id", sa.Text, nullable=False),
    sa.Column("first_segment", sa.BigInteger, nullable=False),
    sa.Column("nb_segments", sa.BigInteger, nullable=False),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("nb_rows", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("footer_hash", sa.Text, nullable=False),
    sa.Column("source_hash", sa.Text, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    _row_hash(),
    sa.UniqueConstraint("process_id", "view_set", "first_segment", "nb_segments", name="one_partition_per_stretch"),
    sa.Index("partitions_by_path", "path"),
)

# Objects that no row names any more, until they have been deleted, which they may be from `removed_time` on.
garbage = sa.Table(
    "garbage",
    TABLES,
    sa.Column("object_key", sa.Text, primary_key=True),
    sa.Column("removed_time", sa.BigInteger, nullable=False),
)

# One row: which version of these tables this is.
lake = sa.Table("lake", TABLES, sa.Column("version", sa.BigInteger, nullable=False))
