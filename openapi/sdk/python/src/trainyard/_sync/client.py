# Generated from _async/client.py by openapi/sdk/generate/python.py: change that file.
"""The async client."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx2

from trainyard._settings import resolve
from trainyard._sync.files import Files, Uploads
from trainyard._sync.jobs import Jobs
from trainyard._sync.models import Models
from trainyard._sync.resources import HealthResource, TenantsResource, UsageResource, WebhooksResource
from trainyard._sync.transport import Transport
from trainyard._version import VERSION


class Trainyard:
    """A client of one server with one API key.

    Args:
        base_url: The server, with or without `/v1`; else TRAINYARD_URL, else OPENAI_BASE_URL, else http://127.0.0.1:8420.
        api_key: The key; else TRAINYARD_API_KEY, else OPENAI_API_KEY where OPENAI_BASE_URL gave the server.
        timeout: Seconds without a byte after which a request has failed.
        max_retries: How often a request is sent again after 408, 429, 5xx or a broken connection.
        http_client: An own client, for proxies or certificates; closed with this one.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 2,
        http_client: httpx2.Client | None = None,
    ) -> None:
        url, key = resolve(base_url, api_key)
        self.base_url = url
        self._transport = Transport(
            http_client or httpx2.Client(),
            url,
            key,
            max_retries=max_retries,
            timeout=timeout,
            user_agent=f"trainyard-python/{VERSION}",
        )
        self.files = Files(self._transport)
        self.uploads = Uploads(self._transport)
        self.jobs = Jobs(self._transport)
        self.models = Models(self._transport)
        self.usage = UsageResource(self._transport)
        self.webhooks = WebhooksResource(self._transport)
        self.tenants = TenantsResource(self._transport)
        self.health = HealthResource(self._transport)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
