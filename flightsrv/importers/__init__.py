"""Telemetry in formats of other programs, made ours."""
