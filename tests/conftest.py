"""The fixtures of all tests, by topic."""

import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.server.fixtures",
    "tests.support.perfetto_ui",
    "tests.support.postgresql",
    "tests.support.s3",
    "tests.support.scripted_s3",
    "tests.support.trace_processor",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts commands in the background so, and programs that the tests start and interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MEMORY = "/dev/shm"
_NEEDED_BYTES = 8 << 30

# Files of tests are on a disk in memory where there is a large one: they are synced all the time, as a lake must be,
# and that they are is counted.
if os.path.isdir(_MEMORY) and shutil.disk_usage(_MEMORY).free >= _NEEDED_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)

# How long an example takes is the machine's affair.
settings.register_profile("machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine")


@pytest.fixture(autouse=True, scope="session")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where programs that are traced keep what they cannot send."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLIGHTSRV_SPOOL", str(tmp_path_factory.mktemp("spool")))
        yield
