"""The metadata database: processes, streams, histories, partitions. The only package that knows SQLAlchemy."""

from udtf.lake.metadata.rows import HistoryRow, PartitionRow, ProcessRow, Row, SegmentRow, StreamRow, StretchRow
from udtf.lake.metadata.store import Growth, HistoryMoved, MetadataStore

__all__ = [
    "Growth",
    "HistoryMoved",
    "HistoryRow",
    "MetadataStore",
    "PartitionRow",
    "ProcessRow",
    "Row",
    "SegmentRow",
    "StreamRow",
    "StretchRow",
]
