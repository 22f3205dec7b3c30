"""How queries are let in, cancelled and measured."""
