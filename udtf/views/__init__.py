"""The kinds of telemetry: what each of them is to ingestion, the lake, SQL and traces."""
