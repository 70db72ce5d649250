"""`python -m libs.run [service] [--role …] [--migrate] [--replay …]`: all, or one of it."""

import argparse
import asyncio
import contextlib
import os
import signal
from pathlib import Path

import uvloop

from libs.rpc.parent import end_with_parent
from libs.run.process import ROLES, run_process
from libs.run.replaying import NotFollowed, replay
from libs.run.schemas import bring_one_up_to_date


def main() -> None:
    """Read the command line and run until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m libs.run", description=__doc__)
    parser.add_argument("service", nargs="?", help="one service; absent: the whole platform")
    parser.add_argument("--role", choices=sorted(ROLES), default="all")
    parser.add_argument(
        "--migrate", action="store_true", help="bring the schema up to date, and end"
    )
    parser.add_argument(
        "--replay", metavar="PRODUCER", help="have the service handle that log from its beginning"
    )
    parser.add_argument(
        "--dead-letters", action="store_true", help="with --replay: only what could not be handled"
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AUDITRON_DATA", ".data")))
    args = parser.parse_args()
    if args.service is None:
        uvloop.run(run_platform(args.data))
    elif args.migrate:
        asyncio.run(migrate_one(args.service))
    elif args.replay:
        asyncio.run(replay_one(args.service, args.replay, dead_letters=args.dead_letters))
    else:
        end_with_parent()
        uvloop.run(run_process(args.service, args.role))


async def migrate_one(name: str) -> None:
    """Migrate a schema; <SERVICE>_APP_PASSWORD and <SERVICE>_SYSTEM_PASSWORD are its logins'."""
    await bring_one_up_to_date(
        os.environ["ADMIN_DATABASE_URL"],
        name,
        lambda login: os.environ[f"{login.upper()}_PASSWORD"],
    )


async def replay_one(name: str, producer: str, *, dead_letters: bool) -> None:
    """Have facts handled again, and say what came of it."""
    try:
        handled, left = await replay(name, producer, dead_letters=dead_letters)
    except NotFollowed as error:
        raise SystemExit(str(error)) from None
    if dead_letters:
        print(f"{handled} dead letters handled, {left} left")  # noqa: T201  # its answer
        raise SystemExit(1 if left else 0)
    print(f"the workers of {name} go through the log of {producer} again")  # noqa: T201


async def run_platform(folder: Path) -> None:
    """Run every service in one process each, and say where they are."""
    # An image holds one service and no embedded stores, so this is imported where it is needed.
    from libs.run.first_login import first_login  # noqa: PLC0415
    from libs.run.platform import Platform, say, service_names  # noqa: PLC0415

    platform = Platform(folder)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    starting = asyncio.create_task(platform.start(say))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return
    starting.result()
    try:
        say(f"REST API   {platform.url}/v1     try it at {platform.url}/docs")
        for name in service_names():
            say(f"gRPC       {platform.address(name)}  {name}")
        email, password = await asyncio.to_thread(first_login, platform)
        say(f"first login  {email}  {password}")
        say(f"data and logs in {platform.folder}; Ctrl-C stops everything")
        await stop.wait()
    finally:
        say("stopping")
        await platform.stop()


if __name__ == "__main__":
    main()
