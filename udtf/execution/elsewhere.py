"""Work that is done elsewhere: by other processes of this machine, or by a Dask cluster.

Nothing depends on them. Where a worker dies, the cluster is away or has another version of this program, the caller
learns that by `NotDone`, and does the work itself. So it must be a function of its arguments that may run twice.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from multiprocessing import connection
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often a caller that waits for its work looks whether it is still done."""
RETRY_S = 5.0
"""How long until what is away is tried again."""
CONNECT_S = 10.0
"""How long it may take to answer."""
START_S = 1.0
"""How long each process of a pool pauses, for all of them to be started meanwhile."""
MAX_TRIES = 3
"""How often work is given away whose worker dies."""


class NotDone(Exception):
    """Work was not done elsewhere; the message says why."""


class Place(ABC):
    """Where executors come from.

    Attributes:
        name: what the log calls it.
        nb_ahead: how much work one caller may have there at once.
    """

    name: str
    nb_ahead: int

    @abstractmethod
    def open(self) -> Executor:
        """An executor that is ready to work. May raise anything."""

    @abstractmethod
    def has_lost(self, executor: Executor, error: BaseException | None) -> bool:
        """Whether an executor will not go on; `error` is what some work ended with, if it did. May raise anything, and
        will not go on then."""

    @abstractmethod
    def close(self, executor: Executor) -> None:
        """Give up an executor, and what it does."""


class Elsewhere:
    """An executor that is opened in the background, and again when it is lost. Safe to use from many threads."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._executor: Executor | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._has_warned = False
        threading.Thread(target=self._keep_open, name="elsewhere", daemon=True).start()

    def wait_until_ready(self, timeout_s: float = CONNECT_S) -> bool:
        """Wait until work can be done there; whether it can."""
        with self._changed:
            return self._changed.wait_for(lambda: self._executor is not None, timeout_s)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns that is called elsewhere, once or more often.

        Raises:
            NotDone: it was not called, or raised something.
        """
        reason = "it is away"
        for _ in range(MAX_TRIES):
            executor = self._executor
            if executor is None:
                break
            try:
                result = self._result(executor, executor.submit(function, *args, **kwargs))
            except Exception as error:
                reason = _in_a_line(error)
                self._warn(reason)
                if not self._has_lost(executor, error):
                    break
                self._lose(executor)
                self.wait_until_ready(LOOK_S)
            else:
                self._works()
                return result
        raise NotDone(f"{self.place.name}: {reason}")

    def close(self) -> None:
        """Give up all that is done there."""
        with self._changed:
            self._is_closed = True
            executor, self._executor = self._executor, None
            self._changed.notify_all()
        if executor is not None:
            self.place.close(executor)

    def _result(self, executor: Executor, future: Future[T]) -> T:
        while not wait([future], LOOK_S).done:
            if self._has_lost(executor):
                future.cancel()
                raise NotDone("it has gone")
        return future.result()

    def _keep_open(self) -> None:
        """Runs in a thread of its own, so that no caller waits for what is away."""
        while not self._is_closed:
            try:
                executor = self.place.open()
            except Exception as error:
                self._warn(_in_a_line(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed, RETRY_S)
            else:
                self._use(executor)

    def _use(self, executor: Executor) -> None:
        """Give it to callers until one of them loses it, or all is closed."""
        with self._changed:
            if not self._is_closed:
                self._executor = executor
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._executor is not executor)
                return
        self.place.close(executor)

    def _has_lost(self, executor: Executor, error: BaseException | None = None) -> bool:
        try:
            return self.place.has_lost(executor, error)
        except Exception:
            return True

    def _lose(self, executor: Executor) -> None:
        with self._changed:
            if self._executor is not executor:
                return  # another caller was faster
            self._executor = None
            self._changed.notify_all()
        self.place.close(executor)

    def _warn(self, reason: str) -> None:
        """Once, until work is done there again."""
        if not self._has_warned and not self._is_closed:
            self._has_warned = True
            log.warning("%s did not work, so its work is done here: %s", self.place.name, reason)

    def _works(self) -> None:
        if self._has_warned:
            self._has_warned = False
            log.info("%s works again", self.place.name)


class Processes(Place):
    """Processes of this machine, forked from one that has loaded some modules. They end with this process."""

    name = "the pool of processes"

    def __init__(self, nb_processes: int, modules: Sequence[str]) -> None:
        self.nb_ahead = nb_processes
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(modules))

    def open(self) -> Executor:
        executor = ProcessPoolExecutor(self.nb_ahead, self._context, _begin_worker)
        # All of them now, none of which is idle before the last one is there: if one dies while a call of `submit`
        # starts another, the executor waits for that one for ever.
        wait([executor.submit(time.sleep, START_S) for _ in range(self.nb_ahead)])
        executor.submit(_nothing).result()
        return executor

    def has_lost(self, executor: Executor, error: BaseException | None) -> bool:
        return isinstance(error, BrokenExecutor)

    def close(self, executor: Executor) -> None:
        # Without waiting: a caller of what is lost has its work to do.
        executor.shutdown(wait=False, cancel_futures=True)


class DaskCluster(Place):
    """The workers of a Dask scheduler.

    Args:
        address: of the scheduler, as `distributed` takes it: `tcp://host:port` or `tls://host:port`.
    """

    nb_ahead = 32

    def __init__(self, address: str) -> None:
        self.name = f"the Dask cluster at {address}"
        self._address = address
        self._clients: dict[Executor, Any] = {}

    def open(self) -> Executor:
        from distributed import Client

        client = Client(self._address, timeout=CONNECT_S, set_as_default=False, name="flightsrv")
        try:
            if not _has_workers(client):
                raise NotDone("it has no workers")
            executor: Executor = client.get_executor(pure=False)
        except BaseException:
            client.close(timeout=CONNECT_S)
            raise
        self._clients[executor] = client
        return executor

    def has_lost(self, executor: Executor, error: BaseException | None) -> bool:
        return not _has_workers(self._clients[executor])

    def close(self, executor: Executor) -> None:
        client = self._clients.pop(executor, None)
        if client is not None:
            client.close(timeout=CONNECT_S)


def elsewhere_of(builders: str, nb_processes: int, modules: Sequence[str]) -> Elsewhere | None:
    """What `udtf.lake.settings.LakeSettings.builders` means; None for threads of this process."""
    if builders == "threads":
        return None
    if builders == "processes":
        return Elsewhere(Processes(nb_processes, modules))
    scheme, _, host = builders.partition("://")
    return Elsewhere(DaskCluster(f"{'tls' if scheme == 'dask+tls' else 'tcp'}://{host}"))


def _has_workers(client: Any) -> bool:
    return client.status == "running" and bool(client.sync(client.scheduler.ncores, callback_timeout=CONNECT_S))


def _begin_worker() -> None:
    """What a process of the pool does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that it belongs to
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()


def _nothing() -> None:
    pass


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
