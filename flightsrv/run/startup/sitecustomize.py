"""Imported by Python before a program that `flightsrv run` starts: records it, and leaves no other trace of itself.

The environment and the module path become those that the program would have had, and a `sitecustomize` that it has of
its own is imported in place of this one.
"""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def _leave_the_environment() -> str:
    """The plan of `flightsrv run`, which is taken out of the environment with all that led here."""
    sys.path[:] = [folder for folder in sys.path if folder != _FOLDER]
    folders = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    others = [folder for folder in folders if folder != _FOLDER]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    return os.environ.pop("FLIGHTSRV_RUN", "")


def _record(plan: str) -> None:
    package_folder = os.path.dirname(os.path.dirname(os.path.dirname(_FOLDER)))
    is_on_path = package_folder in sys.path
    if not is_on_path:
        sys.path.append(package_folder)
    try:
        from flightsrv.run.plan import record
    finally:
        if not is_on_path:
            sys.path.remove(package_folder)
    record(plan)


def _import_the_next() -> None:
    """Import the `sitecustomize` that this one hides."""
    this = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, this)


plan = _leave_the_environment()
if plan:
    try:
        _record(plan)
    except Exception as error:
        print(f"flightsrv run: the program is not traced: {error}", file=sys.stderr)
_import_the_next()
