"""Lists that span pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Generic

from trainyard._async.transport import AsyncTransport
from trainyard._call import Call
from trainyard.page import Item, Page


class AsyncPages(Generic[Item]):
    """A list. Iterating over it gives every item and fetches pages as they are needed; `limit` of the call is the size of a page.

    Nothing is sent before the first item is asked for, and iterating again begins anew.
    """

    def __init__(self, transport: AsyncTransport, model: type[Item], call: Call) -> None:
        self._transport = transport
        self._model = Page[model]  # type: ignore[valid-type]
        self._call = call

    async def page(self) -> Page[Item]:
        """The first page alone."""
        return await self._transport.fetch(self._model, self._call)

    async def pages(self) -> AsyncIterator[Page[Item]]:
        """Page after page."""
        call = self._call
        while True:
            page = await self._transport.fetch(self._model, call)
            yield page
            if not page.has_more or page.last_id is None:
                return
            call = replace(call, query={**call.query, "after": page.last_id})

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self.pages():
            for item in page.data:
                yield item
