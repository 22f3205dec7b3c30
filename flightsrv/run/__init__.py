"""`flightsrv run`: a Python program, unchanged, with what it does recorded.

The program is run by the interpreter itself, so that all is as without tracing. `startup/sitecustomize.py`, which
Python imports before it, begins to record. `command` has it imported, and `recording` makes a trace or a lake of what
comes.
"""
