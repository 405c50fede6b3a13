"""Webhooks on the side that receives them: the signature checked as Standard Webhooks has it, then the event."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trainyard.errors import TrainyardError

TOLERANCE_SECONDS = 300.0


class WebhookVerificationError(TrainyardError):
    """What arrived was not signed with the secret, or was signed too long ago: answer 400 and do nothing."""


class WebhookEvent(BaseModel):
    """What happened. It is thin: fetch the job for more. `id` is the same at every attempt, so that repeats can be told."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: str
    created_at: int
    data: dict[str, Any]


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> WebhookEvent:
    """The event of a request, once its signature holds.

    Args:
        body: The body as it arrived, to the byte.
        headers: The request's headers; their names in any case.
        secret: The endpoint's secret, `whsec_` and base64.
        tolerance_seconds: How far the time of the signature may be from now, on either side.
        now: Unix seconds; the clock's where left out.

    Raises:
        WebhookVerificationError: It is not what the server sent.
    """
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not given.get(name)]
    if missing:
        raise WebhookVerificationError(f"the request has no header {missing[0]}")
    try:
        sent = float(given["webhook-timestamp"])
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise WebhookVerificationError(f"webhook-timestamp or the secret cannot be read: {error}") from error
    if abs((time.time() if now is None else now) - sent) > tolerance_seconds:
        raise WebhookVerificationError(f"the signature is more than {tolerance_seconds:g} s away from now")
    content = body.encode() if isinstance(body, str) else body
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + content
    right = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # While a secret is being replaced there is one signature for each.
    if not any(hmac.compare_digest(right, one.encode()) for one in given["webhook-signature"].split()):
        raise WebhookVerificationError("no signature of the request is that of the secret")
    try:
        return WebhookEvent.model_validate_json(content)
    except ValidationError as error:
        raise WebhookVerificationError(f"the body is no event: {error}") from error
