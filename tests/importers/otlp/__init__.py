"""OpenTelemetry in, from the bytes of its protocol to views and traces."""
