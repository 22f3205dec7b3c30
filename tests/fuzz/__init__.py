"""Bytes of nobody knows whom, made to reach as many lines as possible of what reads them, by atheris.

`targets` are what reads bytes before anybody is known or anything is checked. `python -m tests.fuzz --runs 1000000`
goes on for as long as one likes; `test_fuzz` for a moment.
"""
