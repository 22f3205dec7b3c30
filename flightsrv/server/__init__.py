"""Start and stop of a server: what belongs together, in one place.

A call goes through four packages, each of which imports those before it: `flightsrv.wire` has the messages of the
protocol as bytes, `flightsrv.policy` says what callers may do and take, `flightsrv.flight` speaks Arrow Flight, and
`flightsrv.flightsql` answers the commands of Flight SQL. `lifecycle` puts them together over a lake;
`processes` makes several such processes one server.
"""
