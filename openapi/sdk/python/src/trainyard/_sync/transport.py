# Generated from _async/transport.py by openapi/sdk/generate/python.py: change that file.
"""Sends calls: authentication, repeats, typed errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from trainyard import _retry
from trainyard._call import Call
from trainyard._download import Partial
from trainyard._sync._io import sleep
from trainyard.errors import ApiError, ConnectionFailedError, RequestTimeoutError, api_error

Model = TypeVar("Model", bound=BaseModel)


class Transport:
    """Sends requests to one server with one key."""

    def __init__(
        self, client: httpx2.Client, base_url: str, api_key: str, *, max_retries: int, timeout: float, user_agent: str
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {api_key}", "User-Agent": user_agent}
        self._max_retries = max_retries
        self._timeout = timeout

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def fetch(self, model: type[Model], call: Call) -> Model:
        """Sends the call and reads its JSON answer."""
        with self.stream(call) as response:
            return model.model_validate_json(response.read())

    def content(self, call: Call) -> bytes:
        """Sends the call and reads its answer's bytes."""
        with self.stream(call) as response:
            return response.read()

    def save(self, call: Call, target: str | PathLike[str], told: Callable[[int], None] | None = None) -> Path:
        """Sends the call and streams its answer into a file, which is there only when it is whole and checked."""
        for attempt in range(self._max_retries + 1):
            began = False
            try:
                with self.stream(call) as response:
                    began = True
                    with Partial(Path(target)) as partial:
                        size = 0
                        for piece in response.iter_bytes():
                            partial.write(piece)
                            size += len(piece)
                            if told:
                                told(size)
                        partial.finish(response.headers)
                break
            except ConnectionFailedError:
                # What broke in the middle begins again; what did not begin, `stream` has repeated.
                if not began or attempt == self._max_retries:
                    raise
                sleep(_retry.pause(attempt, None) or 0.0)
        return Path(target)

    @contextmanager
    def stream(self, call: Call, *, retries: int | None = None) -> Iterator[httpx2.Response]:
        """Sends the call, again where that may help, and gives the answer before its body is read.

        Raises:
            ApiError: The server refused it.
            ConnectionFailedError: No answer, or it broke while it was read.
        """
        response = self._answered(call, self._max_retries if retries is None else retries)
        try:
            yield response
        except httpx2.TransportError as error:
            raise failed(error) from error
        finally:
            response.close()

    def _answered(self, call: Call, retries: int) -> httpx2.Response:
        # Once for all attempts: they share the idempotency key.
        headers = {**self._headers, **call.sent_headers()}
        for attempt in range(retries + 1):
            last = attempt == retries
            try:
                response = self._client.send(self._request(call, headers), stream=True)
                if response.status_code < 300:
                    return response
                error = refused(response)
            except httpx2.TransportError as broken:
                if last:
                    raise failed(broken) from broken
                sleep(_retry.pause(attempt, None) or 0.0)
                continue
            wait = _retry.pause(attempt, error.retry_after)
            if last or wait is None or not _retry.may_repeat(error.status, response.headers):
                raise error
            sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _request(self, call: Call, headers: dict[str, str]) -> httpx2.Request:
        body: dict[str, Any] = {}
        if call.body is not None:
            body["json"] = call.json()
        if call.form is not None:
            # httpx2 seeks to the file's begin before it reads.
            body["data"] = call.form.fields
            body["files"] = {call.form.name: (call.form.filename, call.form.content, "application/octet-stream")}
        seconds = self._timeout if call.timeout is None else call.timeout
        return self._client.build_request(
            call.method,
            self._base_url + call.path,
            params=call.parameters(),
            headers=headers,
            timeout=httpx2.Timeout(seconds, connect=min(seconds, 10.0)),
            **body,
        )


def refused(response: httpx2.Response) -> ApiError:
    """The error that an answer tells of."""
    try:
        text = response.read()
    finally:
        response.close()
    try:
        body = response.json() if text else None
    except ValueError:
        body = None
    request_id = response.headers.get("x-request-id")
    return api_error(response.status_code, body, request_id, _retry.retry_after(response.headers))


def failed(error: httpx2.TransportError) -> ConnectionFailedError:
    """The error of a request without an answer."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        return RequestTimeoutError(f"no answer in time ({what})")
    return ConnectionFailedError(f"no answer from the server ({what})")
