"""The tables and table functions that SQL sees: `catalog` lists them, each other module is one of them."""
