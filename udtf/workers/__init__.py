"""Processes that compute: forked in milliseconds, killed at once, watched for memory.

`pool` leases them, `processes` and `zygote` start and end them, `channel` is the socket to one. What they do is a
function that the pool is given by name.
"""
