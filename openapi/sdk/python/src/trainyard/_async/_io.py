"""Sleeping and stopping, as the async client does it."""

from __future__ import annotations

from typing import Protocol

import anyio


class AsyncStop(Protocol):
    """What ends a wait early: `asyncio.Event` and `anyio.Event` are both one."""

    def is_set(self) -> bool: ...

    async def wait(self) -> object: ...


async def sleep(seconds: float) -> None:
    """Sleeps."""
    await anyio.sleep(seconds)


async def pause(seconds: float, stop: AsyncStop | None) -> bool:
    """Sleeps until the time is over or `stop` is set; says whether it is set."""
    if stop is None:
        await anyio.sleep(seconds)
        return False
    with anyio.move_on_after(seconds):
        await stop.wait()
    return stop.is_set()
