"""The metadata database: processes, streams, blocks, partitions. The only package that knows SQLAlchemy."""

from udtf.lake.metadata.rows import BlockRow, PartitionRow, ProcessRow, StreamRow
from udtf.lake.metadata.store import MetadataStore

__all__ = ["BlockRow", "MetadataStore", "PartitionRow", "ProcessRow", "StreamRow"]
