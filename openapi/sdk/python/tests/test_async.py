"""The async client, where it differs from the blocking one: waiting, cancelling, files, streams."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conftest import long, short
from proxy import FaultyProxy
from server import Server

from trainyard import AsyncTrainyard, WaitStoppedError


async def test_a_job_from_upload_to_adapter(server: Server, proxy: FaultyProxy, lines: Path, tmp_path: Path) -> None:
    async with AsyncTrainyard(base_url=proxy.url, api_key=server.key) as client:
        proxy.faults += [503]
        file = await client.files.upload(lines)
        large = await client.files.upload(lines, in_parts_from=1, part_bytes=1000)
        assert await client.files.content(large.id) == lines.read_bytes()
        proxy.faults += ["lost"]
        made = await client.jobs.create(short(file.id, metadata={"client": "async"}))
        assert [job.id async for job in client.jobs.list(metadata={"client": "async"})] == [made.id]
        # Both at once, on one loop.
        followed, done = await asyncio.gather(follow(client, made.id), client.jobs.wait(made.id, timeout=120, poll_seconds=0.1))
        listed = [event.id async for event in client.jobs.list_events(made.id, limit=4)]
        assert followed == listed[::-1]
        assert done.fine_tuned_model
        paths = await client.models.download(done.fine_tuned_model, tmp_path)
        assert all(path.is_file() for path in paths) and len(paths) >= 2


async def test_a_wait_is_stopped_or_cancelled_like_any_task(server: Server, training_file: str) -> None:
    async with AsyncTrainyard(base_url=server.url, api_key=server.key) as client:
        made = await client.jobs.create(long(training_file))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.jobs.wait(made.id, poll_seconds=30), 0.3)
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        with pytest.raises(WaitStoppedError):
            await asyncio.wait_for(client.jobs.wait(made.id, poll_seconds=30, stop=stop, cancel_on_stop=True), 10)
        assert (await client.jobs.retrieve(made.id)).status in ("running", "cancelled")


async def follow(client: AsyncTrainyard, job_id: str) -> list[str]:
    return [event.id async for event in client.jobs.stream_events(job_id)]
