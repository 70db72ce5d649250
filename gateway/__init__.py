"""REST in front of the services, read from their contracts; owns nothing, knows no business rule.

It verifies the token, limits the rate, turns JSON into protobuf and back by the contracts'
`google.api.http` options, streams uploads and downloads, and pushes live events (SSE, WebSocket).
Calls every service whose address is set; a new RPC costs it no line.
"""

from libs.rpc import ciphers  # before the first import of grpc; see there

__all__ = ["ciphers"]
