"""Ends tasks for certain."""

import asyncio

_CANCEL_AGAIN_S = 0.5


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel until it has come through: before Python 3.12, wait_for may swallow it."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
