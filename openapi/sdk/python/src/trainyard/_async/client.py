"""The async client."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx2

from trainyard._async.files import AsyncFiles, AsyncUploads
from trainyard._async.jobs import AsyncJobs
from trainyard._async.models import AsyncModels
from trainyard._async.resources import AsyncHealthResource, AsyncTenantsResource, AsyncUsageResource, AsyncWebhooksResource
from trainyard._async.transport import AsyncTransport
from trainyard._settings import resolve
from trainyard._version import VERSION


class AsyncTrainyard:
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
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        url, key = resolve(base_url, api_key)
        self.base_url = url
        self._transport = AsyncTransport(
            http_client or httpx2.AsyncClient(),
            url,
            key,
            max_retries=max_retries,
            timeout=timeout,
            user_agent=f"trainyard-python/{VERSION}",
        )
        self.files = AsyncFiles(self._transport)
        self.uploads = AsyncUploads(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.models = AsyncModels(self._transport)
        self.usage = AsyncUsageResource(self._transport)
        self.webhooks = AsyncWebhooksResource(self._transport)
        self.tenants = AsyncTenantsResource(self._transport)
        self.health = AsyncHealthResource(self._transport)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
