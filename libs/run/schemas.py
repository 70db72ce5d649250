"""Brings the services' schemas up to date: the libs' tables first, then the service's own."""

import asyncio
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from libs.pg import migrate

# In this order: a service's own migrations may name these tables.
LIBS = ("libs.pg", "libs.events", "libs.jobs")


def lib_folders() -> list[Path]:
    """The folders of the migrations that every schema has."""
    return [Path(str(files(lib))) / "schema" for lib in LIBS]


def service_folder(name: str) -> Path:
    """The folder of a service's own migrations."""
    return Path(str(files(f"services.{name}"))) / "schema"


async def bring_up_to_date(
    admin_url: str, names: Sequence[str], secret: Callable[[str], str]
) -> None:
    """Migrate each service's schema; secret("invoice_app") gives a login's password."""
    await asyncio.gather(*(bring_one_up_to_date(admin_url, name, secret) for name in names))


async def bring_one_up_to_date(admin_url: str, name: str, secret: Callable[[str], str]) -> None:
    """Migrate one service's schema and give its two logins their passwords."""
    await migrate(
        admin_url,
        name,
        service_folder(name),
        app_password=secret(f"{name}_app"),
        system_password=secret(f"{name}_system"),
        extra=lib_folders(),
    )
