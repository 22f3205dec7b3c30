"""The lake's telemetry as a plain Parquet dataset, for engines that know nothing of it."""
