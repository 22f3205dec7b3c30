"""Flight SQL: what its commands and actions answer.

`handlers` lists them all. `tickets` and `parameters` make the statement to run, and the query engine of `udtf.sql` runs
it.
"""
