"""Each real part that tests lean on works."""
