"""The fixtures of all tests, by topic."""

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.server.fixtures",
    "tests.support.perfetto_ui",
    "tests.support.postgresql",
    "tests.support.s3",
    "tests.support.scripted_s3",
    "tests.support.trace_processor",
]

# How long an example takes is the machine's affair.
settings.register_profile("machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine")
