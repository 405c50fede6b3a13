"""A page of a list."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item", bound=BaseModel)


class Page(BaseModel, Generic[Item]):
    """One page; the next one begins after `last_id` while `has_more` is true."""

    model_config = ConfigDict(extra="allow")

    data: list[Item]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False
