"""Memory that the process has freed, and will want again at once."""

LARGEST_BLOCK_BYTES = 4 << 20
"""Room for a message of 2 MiB, and some more."""


def keep_freed_memory() -> None:
    """Have the C library keep some of what is freed, in place of giving it back to the system.

    It keeps up to twice the largest block that it has seen being freed. With messages of 1 MiB, that is too little for
    those on their way: each of them would be new memory again, which the system clears page by page. That is a tenth of
    the time of a trace.
    """
    bytes(LARGEST_BLOCK_BYTES)
