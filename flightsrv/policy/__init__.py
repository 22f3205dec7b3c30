"""What callers may do, and how much of the server they may take: authentication (`auth`), limits, sessions, running
queries. Nothing here knows a transport.
"""
