"""What the server counts of itself: metrics, and the log of queries that have ended."""
