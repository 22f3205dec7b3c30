"""Ways to speak Arrow Flight to the network, each a module: `grpcio`, the default, and `pyarrow_flight`.

They decode, call the service (`flightsrv.flight.service`) within a call (`flightsrv.flight.calls`), and encode.
"""
