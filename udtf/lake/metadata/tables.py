"""The four tables of the metadata database. Times are integers, nanoseconds since the Unix epoch."""

import sqlalchemy as sa

TABLES = sa.MetaData()

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
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
)

streams = sa.Table(
    "streams",
    TABLES,
    sa.Column("stream_id", sa.Text, primary_key=True),
    sa.Column("process_id", sa.Text, nullable=False, index=True),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
)

blocks = sa.Table(
    "blocks",
    TABLES,
    sa.Column("block_id", sa.Text, primary_key=True),
    sa.Column("stream_id", sa.Text, nullable=False),
    sa.Column("process_id", sa.Text, nullable=False),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("begin_ticks", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("end_ticks", sa.BigInteger, nullable=False),
    sa.Column("nb_objects", sa.BigInteger, nullable=False),
    sa.Column("object_offset", sa.BigInteger, nullable=False),
    sa.Column("payload_size", sa.BigInteger, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    # Not shown in SQL: what the payload must hash to, and what of it is matched only in other blocks.
    sa.Column("payload_hash", sa.Text, nullable=False),
    sa.Column("unmatched_ends", sa.BigInteger, nullable=False),
    sa.Column("unmatched_begins", sa.BigInteger, nullable=False),
    sa.Index("blocks_of_a_process_by_insertion", "process_id", "insert_time"),
    sa.UniqueConstraint("stream_id", "object_offset", name="blocks_of_a_stream_do_not_overlap"),
)

partitions = sa.Table(
    "partitions",
    TABLES,
    sa.Column("partition_id", sa.Text, primary_key=True),
    sa.Column("view_set", sa.Text, nullable=False),
    sa.Column("instance_id", sa.Text, nullable=False),
    sa.Column("process_id", sa.Text, nullable=False, index=True),
    sa.Column("stream_id", sa.Text, nullable=False),
    sa.Column("begin_offset", sa.BigInteger, nullable=False),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
    sa.Column("begin_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("unmatched_ends", sa.BigInteger, nullable=False),
    sa.Column("unmatched_begins", sa.BigInteger, nullable=False),
    sa.Column("nb_rows", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("source_hash", sa.Text, nullable=False),
    sa.Column("insert_time", sa.BigInteger, nullable=False),
    # Read only when it is needed: it is much larger than all the rest. See `partition_file.Summary`.
    sa.Column("summary", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("view_set", "stream_id", "source_hash", name="one_partition_per_source"),
)


PARTITION_COLUMNS = [column for column in partitions.columns if column.name != "summary"]
