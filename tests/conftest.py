"""The fixtures of all tests, by topic."""

pytest_plugins = [
    "tests.support.trace_processor",
]
