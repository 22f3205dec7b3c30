"""Modules with compiled loops, to be loaded before others are instrumented: numba cannot compile what is."""

import udtf.lake.fingerprints
import udtf.lake.integers
import udtf.views.catalog  # noqa: F401
