"""A whole installation on one machine, for looking at and for trying things out: `make fleet`.

PostgreSQL, a simulator of S3, a Dask scheduler with two workers, two servers that share them, and ten programs that are
traced. Meanwhile a server is killed, and in the end everything that was recorded has to be there.
"""
