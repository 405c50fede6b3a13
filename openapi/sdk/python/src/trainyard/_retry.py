"""When a request is tried again, and after how long. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_SECONDS = 0.5
MOST_SECONDS = 8.0
# A server that asks for more than this gets its error handed to the caller.
WAIT_MAX_SECONDS = 120.0
REPEATED = frozenset({408, 429, 500, 502, 503, 504})


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """What `retry-after-ms` or `retry-after` (seconds or a date) asks for, in seconds; `None` where neither can be read."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        text = headers.get("retry-after")
        if text is None:
            return None
        try:
            return max(0.0, float(text))
        except ValueError:
            return max(0.0, (parsedate_to_datetime(text) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return None


def may_repeat(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer may be asked for again: the server's `x-should-retry` decides, else the status."""
    said = headers.get("x-should-retry")
    return said == "true" if said in ("true", "false") else status in REPEATED


def pause(attempt: int, asked: float | None) -> float | None:
    """Seconds before the repeat after `attempt` (from 0); `None` where the server asks for too long a wait."""
    if asked is not None:
        return asked if asked <= WAIT_MAX_SECONDS else None
    return min(FIRST_SECONDS * 2.0**attempt, MOST_SECONDS) * random.uniform(0.75, 1.0)
