"""Jobs: waiting for their end, and following their events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable

from trainyard import _retry
from trainyard._async._io import AsyncStop, pause, sleep
from trainyard._async.resources import AsyncJobsResource
from trainyard._call import Call, segment
from trainyard._sse import Decoder, Message
from trainyard.errors import (
    ConnectionFailedError,
    JobCancelledError,
    JobFailedError,
    RateLimitError,
    ServerError,
    WaitStoppedError,
    WaitTimeoutError,
    api_error,
)
from trainyard.models import Job, JobEvent

# The server says something every 15 s, so silence three times as long is a dead connection.
SILENCE_SECONDS = 45.0
# How long a server may be away before waiting for it ends.
OUTAGE_SECONDS = 120.0
# The status of errors that end a stream, which has answered 200 before.
ENDS = {"invalid_api_key": 401, "insufficient_scope": 403, "tenant_suspended": 403, "not_found": 404}
TRANSIENT = (ConnectionFailedError, ServerError, RateLimitError)


class AsyncJobs(AsyncJobsResource):
    """The operations of `client.jobs`."""

    async def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        poll_seconds: float = 1.0,
        on_progress: Callable[[Job], None] | None = None,
        stop: AsyncStop | None = None,
        cancel_on_stop: bool = False,
        outage_seconds: float = OUTAGE_SECONDS,
    ) -> Job:
        """Wait until a job has succeeded, and return it. A server that restarts meanwhile is waited for.

        Args:
            timeout: Seconds to wait at most.
            poll_seconds: Seconds between two looks.
            on_progress: Called with the job at first and whenever its status or progress has changed.
            stop: An event that ends the wait when it is set.
            cancel_on_stop: Whether the job is cancelled when `stop` ends the wait.
            outage_seconds: How long the server may be away.

        Raises:
            JobFailedError: The job failed.
            JobCancelledError: The job was cancelled.
            WaitTimeoutError: It had not ended in time, and goes on.
            WaitStoppedError: `stop` was set.
        """
        begin = heard = time.monotonic()
        seen: object = None
        job = await self.retrieve(job_id)
        while True:
            state = (job.status, job.trainyard.progress)
            if on_progress and state != seen:
                seen = state
                on_progress(job)
            if job.status == "succeeded":
                return job
            if job.status == "failed":
                raise JobFailedError(job)
            if job.status == "cancelled":
                raise JobCancelledError(job)
            left = poll_seconds
            if timeout is not None:
                left = min(poll_seconds, begin + timeout - time.monotonic())
                if left <= 0:
                    raise WaitTimeoutError(job, timeout)
            if await pause(left, stop):
                if cancel_on_stop:
                    job = await self.cancel(job_id)
                raise WaitStoppedError(job)
            try:
                job = await self.retrieve(job_id)
                heard = time.monotonic()
            except TRANSIENT:
                if time.monotonic() - heard > outage_seconds:
                    raise

    async def stream_events(
        self, job_id: str, *, last_event_id: str | None = None, outage_seconds: float = OUTAGE_SECONDS
    ) -> AsyncIterator[JobEvent]:
        """Follow a job: its events so far, oldest first, and then each as it happens, until the job has ended.

        A connection that breaks is made again after the last event, so that none is lost and none comes twice.

        Args:
            last_event_id: Begin after this event.
            outage_seconds: How long the server may be away.
        """
        last, heard, attempt = last_event_id, time.monotonic(), 0
        seen: set[str] = set()
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            call = Call(
                "GET",
                f"/v1/fine_tuning/jobs/{segment(job_id)}/events",
                query={"stream": True},
                headers=headers,
                timeout=SILENCE_SECONDS,
            )
            asked: float | None = None
            try:
                async with self._transport.stream(call, retries=0) as response:
                    decoder = Decoder()
                    async for piece in response.aiter_bytes():
                        heard, attempt = time.monotonic(), 0
                        for message in decoder.feed(piece):
                            if message.data == "[DONE]":
                                return
                            event = event_of(message)
                            if event is None or event.id in seen:
                                continue
                            seen.add(event.id)
                            last = event.id
                            yield event
            except TRANSIENT as error:
                if time.monotonic() - heard > outage_seconds:
                    raise
                asked = getattr(error, "retry_after", None)
            await sleep(_retry.pause(min(attempt, 5), asked) or _retry.MOST_SECONDS)
            attempt += 1


def event_of(message: Message) -> JobEvent | None:
    """The job's event in a message; `None` where it is another message.

    Raises:
        ApiError: The message says that the server ended the stream, because a key was revoked for example.
    """
    if message.event == "error":
        body = json.loads(message.data)
        code = str((body.get("error") or {}).get("code"))
        raise api_error(ENDS.get(code, 500), body, None, None)
    if message.event != "fine_tuning.job.event":
        return None
    return JobEvent.model_validate_json(message.data)
