"""Client of Trainyard: `Trainyard` blocks, `AsyncTrainyard` is awaited; both have the same methods."""

from trainyard import models
from trainyard._async.client import AsyncTrainyard
from trainyard._async.pages import AsyncPages
from trainyard._sync.client import Trainyard
from trainyard._sync.pages import Pages
from trainyard._version import VERSION as __version__
from trainyard.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    IntegrityError,
    JobCancelledError,
    JobEndedError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TrainyardError,
    WaitStoppedError,
    WaitTimeoutError,
)
from trainyard.page import Page

__all__ = [
    "ApiError",
    "AsyncPages",
    "AsyncTrainyard",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConnectionFailedError",
    "IntegrityError",
    "JobCancelledError",
    "JobEndedError",
    "JobFailedError",
    "NotFoundError",
    "Page",
    "Pages",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimeoutError",
    "ServerError",
    "Trainyard",
    "TrainyardError",
    "WaitStoppedError",
    "WaitTimeoutError",
    "__version__",
    "models",
]
