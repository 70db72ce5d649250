"""Starts, uses, kills and restarts all servers in the folder argv[1]; writes `done` at the end.

With argv[2] == "wait" it writes the pids after the first start and waits instead.
"""

import asyncio
import sys
from pathlib import Path

from libs.embedded import Embedded


async def main(folder: Path, wait: bool) -> None:
    embedded = Embedded(folder, environ={})
    await embedded.start()
    servers = (embedded.postgres, embedded.redis, embedded.s3)
    if wait:
        sys.stdout.write(" ".join(str(server.pid) for server in servers) + "\n")
        sys.stdout.flush()
        await asyncio.sleep(60)
    for server in servers:
        await server.kill()
        await server.start()
    await embedded.stop()
    await embedded.start()
    assert all(server.pid for server in servers)
    await embedded.erase()
    sys.stdout.write("done")


asyncio.run(main(Path(sys.argv[1]), sys.argv[2:] == ["wait"]))
