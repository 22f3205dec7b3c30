"""A small program that is traced: threads count the words of files while tasks take turns at asking for the totals.

Run it while a server listens. It prints its process id, which `flightsrv trace` takes.
"""

import asyncio
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flightsrv import tracing

totals: Counter[str] = Counter()
totals_lock = threading.Lock()


@tracing.traced
def count(path: Path) -> None:
    with tracing.span("read"):
        text = path.read_text(encoding="utf-8", errors="replace")
    with tracing.span("split"):
        words = text.split()
    with tracing.span("wait for totals"):
        totals_lock.acquire()
    try:
        with tracing.span("add"):
            totals.update(words)
    finally:
        totals_lock.release()


async def ask(name: str, seconds: float) -> None:
    async with tracing.async_span(f"ask {name}"):
        for _ in range(3):
            async with tracing.async_span("pause"):
                await asyncio.sleep(seconds)


@tracing.traced
async def ask_often() -> None:
    await asyncio.gather(*(ask(name, seconds) for name, seconds in [("ann", 0.01), ("bob", 0.015), ("eve", 0.02)]))


def main() -> None:
    session = tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080"))
    with session, ThreadPoolExecutor(4, thread_name_prefix="counter") as pool:
        counts = [pool.submit(count, path) for path in Path(os.__file__).parent.glob("*.py")]
        asyncio.run(ask_often())
        for each in counts:
            each.result()
    print(session.process_id)


if __name__ == "__main__":
    main()
