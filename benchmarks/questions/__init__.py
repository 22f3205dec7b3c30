"""One question per module: its docstring asks, its `measure` answers with results. `registry` lists them."""
