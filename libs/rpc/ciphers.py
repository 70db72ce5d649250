"""Leaves TLS 1.3 as the only version that gRPC speaks; works only before grpc is imported."""

import os
import sys

VARIABLE = "GRPC_SSL_CIPHER_SUITES"
# grpcio has no setting for the lowest TLS version. This names a single suite of TLS 1.2, and no
# ECDSA certificate can serve it; it does not govern TLS 1.3, so that only TLS 1.3 comes about.
SUITES = "ECDHE-RSA-AES256-GCM-SHA384"

# grpc reads the variable while it is imported. Whoever imports grpc earlier than libs.rpc has it in
# the environment of the process, or gets no credentials.
IN_TIME = "grpc" not in sys.modules or os.environ.get(VARIABLE) == SUITES
os.environ[VARIABLE] = SUITES
