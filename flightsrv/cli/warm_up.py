"""`flightsrv warm-up`: what the first start of a server does otherwise."""

import time

import click


@click.command(name="warm-up", epilog="Example: NUMBA_CACHE_DIR=/opt/flightsrv/kernels flightsrv warm-up")
def warm_up() -> None:
    """Compile the kernels for this machine, which the first start of a server does otherwise.

    They are kept in the folder NUMBA_CACHE_DIR, which a server needs to read only, or else beside the package.
    """
    from udtf import kernel_cache

    begin_s = time.monotonic()
    kernel_cache.report_compilation(click.echo)
    kernel_cache.compile_all()
    click.echo(f"kernels are in {kernel_cache.folder_in_words()} after {time.monotonic() - begin_s:.1f} s")
