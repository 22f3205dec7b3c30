"""Real parts that tests run against, each as pytest fixtures in a module named after it.

trace_processor   Perfetto's own trace processor: what a trace shows
perfetto_ui       Perfetto's page in a browser: what a person sees who opens a trace
postgresql        a PostgreSQL cluster, a fresh database per test
s3                an S3 endpoint, a fresh bucket per test
debian            installs the Debian packages that some of these need, or skips
"""
