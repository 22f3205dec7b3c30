"""Files of partitions that no row names: a server died after it wrote one and before its row was committed."""

import logging
import time

from udtf.lake.metadata import MetadataStore
from udtf.lake.objects import ObjectStore

log = logging.getLogger(__name__)

MIN_AGE_S = 3600.0
"""Younger files may be waiting for their row, whatever server made them."""


def delete_orphans(objects: ObjectStore, metadata: MetadataStore, now_s: float | None = None) -> int:
    """Delete files of partitions that have no row and are older than `MIN_AGE_S`; returns their number."""
    before_s = (time.time() if now_s is None else now_s) - MIN_AGE_S
    # Files first: a row that is committed after the rows were read has a younger file.
    old = {key for key, written_s in objects.written_at("views").items() if written_s < before_s}
    if old:
        for rows in metadata.scan_partitions():
            old.difference_update(row.path for row in rows)
    for key in old:
        objects.delete(key)
    return len(old)


def tidy(objects: ObjectStore, metadata: MetadataStore) -> None:
    """As `delete_orphans`, for a thread of a server that starts: what fails is logged, and tried at the next start."""
    try:
        deleted = delete_orphans(objects, metadata)
    except Exception as error:  # a server runs as well without it
        log.warning("files of partitions without a row stay where they are: %s", error)
    else:
        if deleted:
            log.info("deleted %d files of partitions that had no row", deleted)
