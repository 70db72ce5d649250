"""Everything an operator can set about the gateway."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Rate:
    """So many requests a second for long, and so many at once."""

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        """Refuse what would let nothing pass."""
        if self.per_second <= 0 or self.burst < 1:
            raise ValueError(f"not a rate: {self.per_second}/s, burst {self.burst}")

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read "PER_SECOND/BURST", as "3000/6000"."""
        per_second, _, burst = text.partition("/")
        return cls(float(per_second), int(burst))


@dataclass(frozen=True)
class Settings:
    """Where the gateway listens, whom it trusts, and what it allows."""

    redis_url: str = field(repr=False)
    listen: str = "127.0.0.1:8080"
    metrics_listen: str = "127.0.0.1:9090"
    # One organization may use a good part of the platform, but not all of it.
    organization_rate: Rate = Rate(3_000, 6_000)
    # One address, on routes that need no token: what reads, and what does more (as a login).
    public_read_rate: Rate = Rate(50, 100)
    public_write_rate: Rate = Rate(10, 50)
    # At a time, in this process.
    requests_max: int = 2_000
    connections_max: int = 20_000
    stream_connections_max: int = 500  # of one organization
    cache_s: int = 60
    cors_origins: frozenset[str] = frozenset()
    # Only what comes from these is believed about the client's address.
    trusted_proxies: tuple[Network, ...] = ()
    behind_tls: bool = False
    drain_wait_s: float = 0  # from unready to closing, where a load balancer needs time to notice
    drain_s: float = 10

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read REDIS_URL and GATEWAY_…; ValueError names what is missing or wrong."""
        if not env.get("REDIS_URL"):
            raise ValueError("not set: REDIS_URL")

        def read(name: str, default: str) -> str:
            return env.get(f"GATEWAY_{name}") or default

        return cls(
            redis_url=env["REDIS_URL"],
            listen=read("LISTEN", cls.listen),
            metrics_listen=read("METRICS_LISTEN", cls.metrics_listen),
            organization_rate=Rate.parse(read("ORGANIZATION_RATE", "3000/6000")),
            public_read_rate=Rate.parse(read("PUBLIC_READ_RATE", "50/100")),
            public_write_rate=Rate.parse(read("PUBLIC_WRITE_RATE", "10/50")),
            requests_max=int(read("REQUESTS_MAX", "2000")),
            connections_max=int(read("CONNECTIONS_MAX", "20000")),
            stream_connections_max=int(read("STREAM_CONNECTIONS_MAX", "500")),
            cache_s=int(read("CACHE_S", "60")),
            cors_origins=frozenset(_items(read("CORS_ORIGINS", ""))),
            trusted_proxies=tuple(map(ipaddress.ip_network, _items(read("TRUSTED_PROXIES", "")))),
            behind_tls=read("BEHIND_TLS", "false") == "true",
            drain_wait_s=float(read("DRAIN_WAIT_S", "0")),
            drain_s=float(read("DRAIN_S", "10")),
        )


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
