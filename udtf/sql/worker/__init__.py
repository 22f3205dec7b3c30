"""What runs DataFusion: the only package that imports it, in processes that do nothing else.

`zygote` is the program of the process that all others are forked from, `loop` what each of them does, `session` how a
statement is planned and run.
"""
