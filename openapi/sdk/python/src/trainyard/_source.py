"""Where an upload's bytes come from: a path, bytes or an open file. Read from disk in pieces, never whole."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Content = str | os.PathLike[str] | bytes | BinaryIO
PIECE = 1 << 20


@contextmanager
def opened(content: Content) -> Iterator[tuple[BinaryIO, str | None]]:
    """The content as a file that can seek, and the name that it has by itself. Closes only what it opened."""
    if isinstance(content, bytes):
        yield io.BytesIO(content), None
    elif isinstance(content, str | os.PathLike):
        with open(content, "rb") as file:
            yield file, Path(content).name
    else:
        if not content.seekable():
            raise ValueError(
                "an upload has to be seekable, because a repeat reads it again: give a path, bytes or a file on disk"
            )
        name = getattr(content, "name", None)
        yield content, Path(name).name if isinstance(name, str) else None


def length(file: BinaryIO) -> int:
    """The file's size in bytes; leaves it at its begin."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def md5(file: BinaryIO) -> str:
    """MD5 of the whole file in hexadecimal, as `POST /v1/uploads/{id}/complete` checks it."""
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()


class Slice(io.RawIOBase):
    """`size` bytes of `file` from `start`, as a file of its own. `told` hears how many bytes have been read of it."""

    def __init__(self, file: BinaryIO, start: int, size: int, told: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self._file, self._start, self._size, self._told = file, start, size, told
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        piece = self._file.read(wanted)
        self._at += len(piece)
        if self._told and piece:
            self._told(self._at)
        return piece
