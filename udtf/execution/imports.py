"""What this process does without."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _Without(MetaPathFinder):
    """Finds that a module is not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == self._name:
            raise ModuleNotFoundError(f"{fullname} is not imported in this process", name=fullname)


def without_pandas() -> None:
    """Let `import pandas` fail from now on, in a process of which nothing uses it.

    pyarrow imports it, where it is installed, as soon as an array is made of a list: 0.4 s and 30 MB for nothing.
    """
    sys.meta_path.insert(0, _Without("pandas"))
