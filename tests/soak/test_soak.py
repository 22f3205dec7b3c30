"""For a short while, with as many clients as for a long one."""

from pathlib import Path

import pytest

from tests.faults.server_process import running_server
from tests.soak.run import soak

MIB = 1 << 20


@pytest.mark.slow
def test_many_clients_leave_nothing_behind(tmp_path: Path) -> None:
    """All their work is right, and afterwards the server has what it had before."""
    with running_server(str(tmp_path / "lake"), None, tmp_path / "log") as server:
        report = soak(server.url, server.process.pid, clients=64, seconds=8)
    print(report)
    assert not report.failures
    assert report.done.total() > 64
    # Threads that answer are kept, and how many are needed at once is a matter of chance.
    assert report.after.threads <= report.before.threads + 24
    assert report.after.files <= report.before.files + 16
    assert report.after.processes <= 4
    assert report.after.memory_bytes <= report.before.memory_bytes + 300 * MIB
