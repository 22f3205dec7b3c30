"""How the work of one query fans out over threads and comes back in order."""
