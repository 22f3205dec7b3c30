"""The client library against a real server, and against one that misbehaves."""
