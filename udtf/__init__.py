"""What SQL sees and the lake under it.

Nothing in here knows who is asking: no Flight, no gRPC, no HTTP. `flightsrv` imports `udtf`, never the reverse.
"""
