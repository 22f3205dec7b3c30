"""Flight SQL messages: frozen dataclasses on our side, protobuf bytes on the wire."""
