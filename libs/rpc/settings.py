"""What an operator can set about calls between services."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

MESSAGE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of mutual TLS; all three are read again when they change."""

    certificate: str
    key: str
    authorities: str


@dataclass(frozen=True)
class RpcSettings:
    """Own name and secret, where the others are, and TLS (None: plain text, on loopback alone)."""

    service: str
    secret: str = field(default="", repr=False)
    addresses: Mapping[str, str] = field(default_factory=dict)
    tls: TlsFiles | None = None
    plain_text_anywhere: bool = False  # where something else encrypts, as a mesh does

    @classmethod
    def from_env(cls, service: str, env: Mapping[str, str] = os.environ) -> "RpcSettings":
        """Read <SERVICE>_SERVICE_SECRET, <NAME>_ADDRESS, RPC_TLS_CERT, _KEY, _CA, RPC_PLAIN_TEXT.

        Raises ValueError if only some of the three TLS files are named.
        """
        suffix = "_ADDRESS"
        files = [env.get(f"RPC_TLS_{name}", "") for name in ("CERT", "KEY", "CA")]
        if any(files) and not all(files):
            raise ValueError("RPC_TLS_CERT, RPC_TLS_KEY and RPC_TLS_CA belong together")
        return cls(
            service=service,
            secret=env.get(f"{service.upper()}_SERVICE_SECRET", ""),
            addresses={
                name.removesuffix(suffix).lower(): address
                for name, address in env.items()
                if name.endswith(suffix) and address
            },
            tls=TlsFiles(*files) if all(files) else None,
            plain_text_anywhere=env.get("RPC_PLAIN_TEXT", "") == "anywhere",
        )
