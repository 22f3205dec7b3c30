"""Authentication and authorization: tokens, roles, certificates."""
