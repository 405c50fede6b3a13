"""Server-sent events from bytes (WHATWG HTML, 9.2.6). Pure.

Lines end at CR, LF or CRLF alone: a library's line reader would also split at U+2028, which may stand inside JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream."""

    event: str
    data: str
    id: str | None


class Decoder:
    """Takes pieces of a stream and gives the events that they complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The events that end within `piece`."""
        self._rest += piece
        # A CR at the end may be half of a CRLF.
        whole = self._rest[:-1] if self._rest.endswith(b"\r") else self._rest
        lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + self._rest[len(whole) :]
        for line in lines:
            message = self._line(line.decode("utf-8", "replace"))
            if message:
                yield message

    def _line(self, line: str) -> Message | None:
        if not line:
            message = Message(self._event or "message", "\n".join(self._data), self._id) if self._data else None
            self._event, self._data = "", []
            return message
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
