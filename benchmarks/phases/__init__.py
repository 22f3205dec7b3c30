"""What each optimization of a trace is worth, alone and beside the others: `python -m benchmarks phases`.

`switches` names the phases, `reading` and `trace` make a trace with any of them on or off, `stores` has the places
where lakes are, `measure` takes the times, `tables` and `plots` show them.
"""
