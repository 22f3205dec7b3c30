"""Windows of a view: as much in memory as was asked for, wherever in the history the range lies."""

from unittest.mock import patch

import pytest

from tests.model import examples
from tests.model.examples import at, begin, calls
from tests.model.lake import ingest_blocks, ingest_process
from tests.model.telemetry import cut
from udtf.lake import history, view
from udtf.lake.lake import Lake
from udtf.lake.time_range import TimeRange
from udtf.views.catalog import kind_named

UPLOADS = 32


@pytest.mark.parametrize(("first", "last"), [(0, 31), (0, 15), (8, 23), (16, 31)])
def test_a_window_has_as_many_partitions_as_fit(lake: Lake, first: int, last: int) -> None:
    """What lies before and after the range makes no window larger, and the outermost call is in the first one only."""
    threads = [examples.thread(begin(0, "main"), *calls(10 * UPLOADS, 1), name=name) for name in ("one", "two")]
    process = examples.process(*threads)
    ingest_process(lake, process)
    blocks = [cut(thread, [1 + 40 * number for number in range(1, UPLOADS)]) for thread in threads]
    for upload in zip(*blocks, strict=True):
        ingest_blocks(lake, upload)
    time_range = TimeRange(at(1 + 200 * first), at(200 * (last + 1)))
    with patch.object(view, "WINDOW_EVENTS", 240), patch.object(history, "MAX_PARTITION_EVENTS", 100):
        windows = lake.view(kind_named("thread_spans"), lake.telemetry_of(process.process_id), time_range).windows()
        sizes = [[len(part.columns) for part in window.parts] for window in windows if window is not None]
    uploads = last - first + 1
    assert sum(map(sum, sizes)) == 2 * (1 + 20 * uploads)
    assert len(sizes) in (uploads // 3, uploads // 3 + 1)
    assert max(map(len, sizes)) <= 4
