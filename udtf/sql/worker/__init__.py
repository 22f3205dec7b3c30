"""What runs DataFusion: the only package that imports it, in processes that do nothing else.

`loop` is what such a process does (`udtf.workers` starts and ends it), `session` how a
statement is planned and run.
"""
