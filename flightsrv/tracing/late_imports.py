"""What is done to a module when the program has imported it, be that now or later; it is never imported for it."""

import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any


class AfterImport:
    """Calls `then` with a module of this name: at once, if it has been imported, else right after it is. What `then`
    raises is lost.

    Until then it stands among the finders of modules (`sys.meta_path`), and finds this one by asking the others.
    """

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then
        self._is_awaited = True
        module = sys.modules.get(name)
        if module is None:
            sys.meta_path.insert(0, self)
        else:
            self._tell(module)

    def forget(self) -> None:
        """Do nothing if it is imported from now on."""
        self._is_awaited = False
        self._leave_finders()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """As `importlib.abc.MetaPathFinder` has it."""
        if name != self._name:
            return None
        self._leave_finders()
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                with suppress(AttributeError):
                    self._tell_when_loaded(spec.loader)
                return spec
        return None

    def _leave_finders(self) -> None:
        with suppress(ValueError):
            sys.meta_path.remove(self)

    def _tell_when_loaded(self, loader: Any) -> None:
        exec_module = loader.exec_module

        def exec_and_tell(module: ModuleType) -> None:
            del loader.exec_module
            exec_module(module)
            self._tell(module)

        loader.exec_module = exec_and_tell

    def _tell(self, module: ModuleType) -> None:
        if self._is_awaited:
            with suppress(Exception):
                self._then(module)
