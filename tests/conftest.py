"""The fixtures of all tests, by topic."""

pytest_plugins = [
    "tests.support.perfetto_ui",
    "tests.support.postgresql",
    "tests.support.s3",
    "tests.support.scripted_s3",
    "tests.support.trace_processor",
]
