"""What a server does for its lake beside answering calls."""

from contextlib import closing
from pathlib import Path

from flightsrv.server.lifecycle import running_server
from tests.model import examples
from tests.model.examples import calls
from tests.model.lake import Taker, ingest_blocks, ingest_process
from tests.model.telemetry import Process, cut
from tests.server.clients import PyarrowClient
from tests.support.waiting import wait_until
from udtf.lake.history import MAX_PARTITION_SEGMENTS
from udtf.lake.lake import Lake


def _recorded(lake: Taker) -> Process:
    """A process whose segments make a complete stretch."""
    process = examples.process(examples.thread(*calls(MAX_PARTITION_SEGMENTS)))
    ingest_process(lake, process)
    for block in cut(process.streams[0], range(2, 2 * MAX_PARTITION_SEGMENTS, 2)):
        ingest_blocks(lake, [block])
    return process


def _nb_objects(lake: Lake, process: Process) -> int:
    return len({row.object_key for row in lake.metadata.segments(process.process_id, range(MAX_PARTITION_SEGMENTS))})


def test_small_objects_are_put_together(tmp_path: Path) -> None:
    """Those that were there when it started, and those that come while it runs."""
    with closing(Lake.open(str(tmp_path))) as lake:
        before = _recorded(lake)
        assert _nb_objects(lake, before) == MAX_PARTITION_SEGMENTS
        with running_server(str(tmp_path)) as server:
            wait_until(lambda: _nb_objects(lake, before) == 1)
            meanwhile = _recorded(PyarrowClient(server.url))
            wait_until(lambda: _nb_objects(lake, meanwhile) == 1)
