"""Many clients for a long time, who do everything that clients do, also the rude ones.

`work` is what each of them does, `watch` what the server takes meanwhile, `run` both together. `python -m tests.soak`
runs it for as long as one likes (`make soak`: 64 clients for five minutes), `test_soak` for a short while.
"""
