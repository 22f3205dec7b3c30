"""The folder where compiled kernels are kept from one start to the next.

Numba keeps them beside the source, or in the folder that `NUMBA_CACHE_DIR` names, and fails to import a kernel where it
can write to neither, which is how an unprivileged user of a read-only installation finds them. Such a process gets
another folder: one in the cache of its user, or in the temporary folder if there is no home. What an image holds in a
read-only `NUMBA_CACHE_DIR` is copied there.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
"""Environment variable of numba."""

_PACKAGE = Path(__file__).parent


def choose_folder() -> None:
    """Set `NUMBA_CACHE_DIR` where numba would find no folder to write to. Call it before a kernel is imported.

    Raises:
        OSError: no folder can be written to, not even a temporary one.
    """
    given = os.environ.get(VARIABLE)
    if _can_write(Path(given)) if given else all(_can_write(folder / "__pycache__") for folder in _subpackages()):
        return
    folder = _own_folder()
    if given:
        _copy(Path(given), folder)
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].core.config.reload_config()


def folder_in_words() -> str:
    """Where kernels are kept, for messages."""
    return os.environ.get(VARIABLE) or str(_PACKAGE)


def report_compilation(report: Callable[[str], None]) -> None:
    """Call `report` with one line when the first kernel has to be compiled. Call this before kernels are imported."""
    from numba.core import event

    class Listener(event.Listener):
        is_reported = False

        def on_start(self, _: object) -> None:
            if not self.is_reported:
                self.is_reported = True
                report(
                    "compiling kernels for this machine: half a minute at the first start, "
                    f"not again while they are in {folder_in_words()}"
                )

        def on_end(self, _: object) -> None:
            pass

    event.register("numba:compile", Listener())  # type: ignore[no-untyped-call]


def compile_all() -> None:
    """Compile the kernels that the folder does not have yet, by importing all modules of this package."""
    import importlib
    import pkgutil

    for module in pkgutil.walk_packages([str(_PACKAGE)], "udtf."):
        importlib.import_module(module.name)


def _subpackages() -> list[Path]:
    return [path.parent for path in _PACKAGE.glob("*/__init__.py")]


def _can_write(folder: Path) -> bool:
    """Whether files can be made in it, if need be after making the folder."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _own_folder() -> Path:
    """One of this user, that no other user can put code into."""
    candidates = [Path(tempfile.gettempdir()) / f"flightsrv-kernels-{os.getuid()}"]
    with suppress(RuntimeError):  # without a home
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        candidates.insert(0, Path(cache, "flightsrv", "kernels"))
    for folder in candidates:
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
            if is_own and _can_write(folder):
                return folder
    return Path(tempfile.mkdtemp(prefix="flightsrv-kernels-"))


def _copy(source: Path, target: Path) -> None:
    """Copy files that are missing or older. Another process may do the same at the same time."""
    for file in source.rglob("*.nb[ci]"):
        copy = target / file.relative_to(source)
        if not copy.exists() or copy.stat().st_mtime < file.stat().st_mtime:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=copy.parent, delete=False) as unfinished:
                shutil.copyfile(file, unfinished.name)
            os.replace(unfinished.name, copy)
