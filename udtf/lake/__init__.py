"""The lake: raw blocks in an object store, their rows in a metadata database, Parquet partitions made from them."""
