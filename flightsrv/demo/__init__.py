"""The demo: a real program of fifty-odd threads, recorded, served, and looked at.

`steps` does it all: a server in a process of its own (`server_process`), the program (`archive`, made of `stages` and
`replicas`) traced in this process, then a client that asks for the trace. `ledger` keeps what was recorded, to compare.
"""
