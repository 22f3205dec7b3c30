"""Spans for what programs are made of: web servers and clients, databases, tests.

Each module is imported by programs that have its library, and does nothing while nothing is recorded.
"""
