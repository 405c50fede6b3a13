"""Sleeping and stopping, as the blocking client does it."""

from __future__ import annotations

import time
from typing import Protocol


class Stop(Protocol):
    """What ends a wait early: `threading.Event` is one."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


def sleep(seconds: float) -> None:
    """Sleeps."""
    time.sleep(seconds)


def pause(seconds: float, stop: Stop | None) -> bool:
    """Sleeps until the time is over or `stop` is set; says whether it is set."""
    if stop is None:
        time.sleep(seconds)
        return False
    return stop.wait(seconds)
