# Generated from _async/pages.py by openapi/sdk/generate/python.py: change that file.
"""Lists that span pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Generic

from trainyard._call import Call
from trainyard._sync.transport import Transport
from trainyard.page import Item, Page


class Pages(Generic[Item]):
    """A list. Iterating over it gives every item and fetches pages as they are needed; `limit` of the call is the size of a page.

    Nothing is sent before the first item is asked for, and iterating again begins anew.
    """

    def __init__(self, transport: Transport, model: type[Item], call: Call) -> None:
        self._transport = transport
        self._model = Page[model]  # type: ignore[valid-type]
        self._call = call

    def page(self) -> Page[Item]:
        """The first page alone."""
        return self._transport.fetch(self._model, self._call)

    def pages(self) -> Iterator[Page[Item]]:
        """Page after page."""
        call = self._call
        while True:
            page = self._transport.fetch(self._model, call)
            yield page
            if not page.has_more or page.last_id is None:
                return
            call = replace(call, query={**call.query, "after": page.last_id})

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            for item in page.data:
                yield item
