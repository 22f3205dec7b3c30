"""Perfetto's page opens a small trace."""

import asyncio
from collections.abc import Callable

from tests.support.perfetto_ui import OpenedTrace
from tests.support_tests.test_trace_processor import small_trace


def test_the_page_shows_the_tracks_of_a_trace(open_in_perfetto_ui: Callable[[bytes], OpenedTrace]) -> None:
    """The engine of the page holds every slice, the page names process, thread and lane, and no error pops up."""
    opened = open_in_perfetto_ui(small_trace())
    assert opened.slice_count == 3
    assert {"kitchen 40", "cook 41", "orders"} <= set(opened.text.splitlines())
    assert "something went wrong" not in opened.text
    assert opened.screenshot.startswith(b"\x89PNG")
    asyncio.run(asyncio.sleep(0))  # the browser left this thread free to run an event loop
