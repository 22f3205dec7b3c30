"""Rows of a table on their way to a worker."""

from contextlib import closing, suppress

from udtf.sql.channel import Channel
from udtf.sql.lake_tables import LakeTables
from udtf.sql.tables import TableScan


def send_scan(tables: LakeTables, scan: TableScan, reader: Channel) -> None:
    """Send the rows of a scan, as fast as they are read. For a thread: what goes wrong with the table is noted by the
    tables, and ends the rows; so does a reader who leaves."""
    with suppress(Exception), closing(reader), closing(tables.scan(scan)) as batches:
        for batch in batches:
            if batch.num_rows:
                reader.send_rows(batch)
        reader.end_rows()
