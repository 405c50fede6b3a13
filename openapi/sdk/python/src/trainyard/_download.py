"""A download on its way to disk: under another name until it is whole, and checked against the server's SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from trainyard.errors import IntegrityError


class Partial:
    """Takes pieces; `finish` gives the file its name, anything else removes it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(target.name + ".partial")
        self._file = open(self._path, "wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Takes the next bytes."""
        self._file.write(piece)
        self._digest.update(piece)
        self._size += len(piece)

    def finish(self, headers: Mapping[str, str]) -> None:
        """Checks size and checksum against the answer's headers, then puts the file in its place."""
        length = headers.get("content-length")
        if length is not None and "content-encoding" not in headers and int(length) != self._size:
            raise IntegrityError(f"{self._target.name}: {self._size} of {length} bytes arrived")
        tag = (headers.get("etag") or "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", tag) and tag != self._digest.hexdigest():
            raise IntegrityError(f"{self._target.name}: SHA-256 is {self._digest.hexdigest()}, the server's is {tag}")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._path, self._target)
