"""A sender that is not our tracing library: what the example does, a server takes."""

import os
import subprocess
import sys
from pathlib import Path

from flightsrv.client import connect
from flightsrv.server.lifecycle import RunningServer

EXAMPLE = Path(__file__).parents[2] / "examples" / "sender.py"


def test_the_example_of_a_sender_is_taken(server: RunningServer) -> None:
    """Both threads, each with a call in a call, at the times that it sends."""
    environment = {**os.environ, "FLIGHTSRV_URL": server.url}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], env=environment, check=True, capture_output=True, text=True, timeout=200
    )
    process_id = done.stdout.strip()
    with connect(server.url) as client:
        rows = client.query(
            "SELECT thread_name, name, depth, duration FROM process_spans($1, 'thread') ORDER BY thread_name, depth",
            [process_id],
        ).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("main", "request", 0, 5_000_000),
        ("main", "query", 1, 3_000_000),
        ("worker", "request", 0, 7_000_000),
        ("worker", "query", 1, 1_000_000),
    ]
