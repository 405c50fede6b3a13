"""What can go wrong. Every class is a `TrainyardError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainyard.models import Job


class TrainyardError(Exception):
    """Base of all errors of this package."""


class ApiError(TrainyardError):
    """The server refused a request.

    Attributes:
        status: The HTTP status.
        message: A sentence that names the field, the limit and the value seen.
        type: The class of the error, such as `invalid_request_error`.
        code: The machine-readable code, such as `unknown_parameter`.
        param: The field at fault as a path, such as `trainyard.adapter.rank`.
        request_id: The request's id, by which the server's log has it.
        retry_after: Seconds after which the server suggests to try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        facts = [f"status {self.status}"]
        facts += [f"{name} {value}" for name, value in (("code", self.code), ("param", self.param)) if value]
        facts += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.message} ({', '.join(facts)})"


class BadRequestError(ApiError):
    """400, 413, 415 or 422: the request itself is wrong; `param` names the field."""


class AuthenticationError(ApiError):
    """401: no key, or one that does not count."""


class PermissionDeniedError(ApiError):
    """403: the key may not do this."""


class NotFoundError(ApiError):
    """404: it is not there, or not this tenant's."""


class ConflictError(ApiError):
    """409: not in the state that it is in."""


class RateLimitError(ApiError):
    """429: a rate limit or a quota; `retry_after` says when to come back."""


class ServerError(ApiError):
    """5xx: the server's own trouble."""


class ConnectionFailedError(TrainyardError):
    """No answer: the server was not reached, or the connection broke."""


class RequestTimeoutError(ConnectionFailedError):
    """No answer in time."""


class IntegrityError(TrainyardError):
    """What arrived is not what was sent: a checksum or a size differs."""


class JobEndedError(TrainyardError):
    """A job that was waited for ended without a model. `job` is its last state."""

    def __init__(self, job: Job, message: str) -> None:
        super().__init__(message)
        self.job = job


class JobFailedError(JobEndedError):
    """The job failed; `code` and `param` are those of the job's own error."""

    def __init__(self, job: Job) -> None:
        error = job.error
        self.code = error.code if error else None
        self.param = error.param if error else None
        super().__init__(job, f"job {job.id} failed: {error.message if error else 'without a reason'}")


class JobCancelledError(JobEndedError):
    """The job was cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, f"job {job.id} was cancelled")


class WaitTimeoutError(TrainyardError):
    """The job had not ended in time; it goes on. `job` is its last state."""

    def __init__(self, job: Job, seconds: float) -> None:
        super().__init__(f"job {job.id} is {job.status} after {seconds:g} s of waiting")
        self.job = job


class WaitStoppedError(TrainyardError):
    """The wait was stopped by its `stop` event. `job` is the last state seen."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"stopped waiting for job {job.id}, which is {job.status}")
        self.job = job


_CLASSES: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
    429: RateLimitError,
}


def api_error(status: int, body: Any, request_id: str | None, retry_after: float | None) -> ApiError:
    """The error of an answer; `body` is its JSON, or `None` where it had none."""
    detail = body.get("error") if isinstance(body, dict) else None
    detail = detail if isinstance(detail, dict) else {}
    kind = _CLASSES.get(status) or (ServerError if status >= 500 else ApiError)
    return kind(
        status,
        str(detail.get("message") or f"the server answered {status} without a reason"),
        type=detail.get("type"),
        code=detail.get("code"),
        param=detail.get("param"),
        request_id=request_id,
        retry_after=retry_after,
    )
