"""Modules with compiled loops, to be loaded before others are instrumented: numba cannot compile what is."""

import udtf.lake.fingerprints
import udtf.lake.matching
import udtf.perfetto.definitions
import udtf.perfetto.interning
import udtf.perfetto.lanes  # noqa: F401
