"""Files: uploads from disk, downloads to disk."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from trainyard._async.resources import AsyncFilesResource, AsyncUploadsResource
from trainyard._async.transport import AsyncTransport
from trainyard._call import Call, Form, segment
from trainyard._source import Content, Slice, length, md5, opened
from trainyard.errors import IntegrityError, TrainyardError
from trainyard.models import CompleteUpload, CreateUpload, ExpiresAfter, File, UploadPart

PART_BYTES = 32 << 20
PURPOSE = "fine-tune"
Told = Callable[[int, int], None]


class AsyncUploads(AsyncUploadsResource):
    """Uploads in parts. `client.files.upload` does all of it."""

    async def add_part(
        self, upload_id: str, data: Content, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> UploadPart:
        """Add a part to an upload: up to 64 MiB."""
        with opened(data) as (file, _):
            length(file)
            form = Form({}, "data", "part", file)
            call = Call(
                "POST",
                f"/v1/uploads/{segment(upload_id)}/parts",
                form=form,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
            return await self._transport.fetch(UploadPart, call)


class AsyncFiles(AsyncFilesResource):
    """The operations of `client.files`."""

    def __init__(self, transport: AsyncTransport) -> None:
        super().__init__(transport)
        self._uploads = AsyncUploads(transport)

    async def upload(
        self,
        content: Content,
        *,
        filename: str | None = None,
        expires_after_seconds: int | None = None,
        in_parts_from: int = 64 << 20,
        part_bytes: int = PART_BYTES,
        on_progress: Told | None = None,
        timeout: float | None = None,
    ) -> File:
        """Upload training data: a path, bytes or an open binary file.

        It is read from disk while it is sent. A large file goes in parts, each repeated by itself where the connection breaks, and
        the server checks the whole against its MD5.

        Args:
            content: What to upload.
            filename: Its name; that of the path where left out.
            expires_after_seconds: When the server deletes it by itself, 3600 to 2592000; never where left out.
            in_parts_from: Bytes from which it goes in parts; one request takes 512 MiB at most.
            part_bytes: Bytes of a part, up to 64 MiB.
            on_progress: Called with the bytes sent so far and all of them.
        """
        with opened(content) as (file, own_name):
            name = filename or own_name or "data.jsonl"
            size = length(file)
            if size < in_parts_from:
                fields = {"purpose": PURPOSE}
                if expires_after_seconds is not None:
                    fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(expires_after_seconds)}
                told = (lambda sent: on_progress(sent, size)) if on_progress else None
                form = Form(fields, "file", name, Slice(file, 0, size, told))  # type: ignore[arg-type]
                return await self._transport.fetch(File, Call("POST", "/v1/files", form=form, timeout=timeout))
            request = CreateUpload(filename=name, purpose=PURPOSE, bytes=size, mime_type="application/jsonl")
            if expires_after_seconds is not None:
                request.expires_after = ExpiresAfter(anchor="created_at", seconds=expires_after_seconds)
            upload = await self._uploads.create(request, timeout=timeout)
            try:
                parts = []
                for start in range(0, size, part_bytes):
                    told = told_from(on_progress, start, size)
                    piece = Slice(file, start, min(part_bytes, size - start), told)
                    parts.append(await self._uploads.add_part(upload.id, piece, timeout=timeout))  # type: ignore[arg-type]
                body = CompleteUpload(part_ids=[part.id for part in parts], md5=md5(file))
                done = await self._uploads.complete(upload.id, body, timeout=timeout)
            except BaseException:
                await self._given_up(upload.id)
                raise
            if done.file is None:
                raise IntegrityError(f"upload {upload.id} was completed without a file")
            return done.file

    async def download(
        self, file_id: str, target: str | PathLike[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Path:
        """Download a file to disk. It is there only when it is whole."""
        return await self._transport.save(Call("GET", f"/v1/files/{segment(file_id)}/content"), target, on_progress)

    async def _given_up(self, upload_id: str) -> None:
        """The parts go at once rather than in an hour, if the server can be told."""
        try:
            await self._uploads.cancel(upload_id, timeout=5.0)
        except TrainyardError:
            return


def told_from(on_progress: Told | None, start: int, size: int) -> Callable[[int], None] | None:
    """Progress within a part as progress of the whole."""
    return (lambda sent: on_progress(start + sent, size)) if on_progress else None
