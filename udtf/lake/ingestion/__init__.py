"""Telemetry in: check it whole, store objects, then commit rows. Whatever returns is stored for good.

columns.py        columns as clients send them
descriptions.py   processes and streams
blocks.py         blocks: their events, checked
stream_ends.py    which of them are new, and fit to what is stored
open_history.py   a history while it grows, segment by segment
ingest.py         from a record batch to committed rows
"""

from udtf.lake.ingestion.ingest import Ingestion

__all__ = ["Ingestion"]
