"""Where SQL looks for tables."""

CATALOG = "datafusion"
DEFAULT_SCHEMA = "public"
"""The schema of the lake's tables."""
SCHEMAS = (DEFAULT_SCHEMA, "information_schema")
