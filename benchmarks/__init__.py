"""Measures the project against its budgets: `python -m benchmarks data | run | phases | compare`."""
