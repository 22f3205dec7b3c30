"""From a statement to its rows.

The engine (`engine`) has statements planned, and computed, in processes of their own (`worker_pool`, `processes`). They
do nothing but run DataFusion (`worker`), and know neither the lake nor its files: they ask for the tables that a
statement names, and get their rows, over sockets (`conversation`, `channel`); `lake_tables` answers. So a statement
that goes wild can be stopped at once, and takes nothing with it. Rows that need nothing done to them, those of a trace
for one, go the short way: from the table to the caller.
"""
