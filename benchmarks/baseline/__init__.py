"""Traces made the naive way, to measure the product against: nothing at once, nothing kept, a message per event."""
