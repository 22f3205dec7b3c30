"""The bytes of traces: read back with the official message classes, and judged by the trace processor."""
