"""Waits for what comes about by events and tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    ask: Callable[[], Awaitable[T]],
    is_so: Callable[[T], bool] = bool,
    within_s: float = 15,
) -> T:
    """Ask again and again until the answer is so, and return it. AssertionError after within_s."""
    deadline = asyncio.get_running_loop().time() + within_s
    pause = 0.005
    while True:
        answer = await ask()
        if is_so(answer):
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not so within {within_s} s; the last answer was {answer!r}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.2)
