"""Commands that work on a lake themselves, without a server."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from flightsrv.cli.interrupt import run_interruptibly

if TYPE_CHECKING:
    from udtf.execution.cancellation import Cancellation
    from udtf.lake.lake import Lake


def run_on_lake(lake: str, db: str | None, builders: str, work: "Callable[[Lake, Cancellation], None]") -> None:
    """Do the work on a lake, whose builders are ready then. Ctrl-C cancels it: what is finished by then is there."""
    from udtf.execution.cancellation import Cancellation, QueryCancelled
    from udtf.lake.lake import Lake
    from udtf.lake.settings import LakeSettings

    cancelled = threading.Event()
    cancellation = Cancellation()
    cancellation.is_cancelled = cancelled.is_set

    def run() -> None:
        with closing(Lake.open(lake, db, LakeSettings(builders=builders))) as opened:
            if opened.elsewhere is not None:
                opened.elsewhere.wait_until_ready()
            with suppress(QueryCancelled):
                work(opened, cancellation)

    run_interruptibly(run, cancelled.set)
