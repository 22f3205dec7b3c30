"""Several processes that are one server.

One process, which loads next to nothing, starts the others (`supervisor`), each of them a server of its own on the same
ports (`ports`). It keeps what they have in common (`hub`); they reach it over a socket that each of them inherits
(`channel`), and use it in place of what a single process keeps to itself (`member`).
"""
