"""Flight SQL messages: classes of protobuf, and streams of rows in bytes of our own."""
