"""What SQL sees and the lake under it.

Nothing in here knows how callers reach it: no Flight, no gRPC, no HTTP. `flightsrv` imports `udtf`, never the reverse.

`udtf.register(context, lake)` puts the tables and functions of a lake into any DataFusion session, without a server.
"""

from typing import TYPE_CHECKING, Any

from udtf import kernel_cache

if TYPE_CHECKING:
    from udtf.sql.register import register

__all__ = ["register"]


def __getattr__(name: str) -> Any:
    """Load DataFusion when it is asked for: most of this package does without."""
    if name != "register":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from udtf.sql.register import register

    return register


kernel_cache.choose_folder()
