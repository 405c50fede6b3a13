"""A request as data, the same for both clients. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

from pydantic import BaseModel

QueryValue = str | int | bool | Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form: text fields, then one file that is read while it is sent, from its begin at every attempt."""

    fields: dict[str, str]
    name: str
    filename: str
    content: BinaryIO


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with all that a repeat needs."""

    method: str
    path: str
    query: Mapping[str, QueryValue] = field(default_factory=dict)
    body: BaseModel | Mapping[str, Any] | None = None
    form: Form | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    timeout: float | None = None

    def json(self) -> Any:
        """The body as JSON: what was set and nothing else, so that the server's defaults hold."""
        if isinstance(self.body, BaseModel):
            return self.body.model_dump(mode="json", exclude_unset=True, by_alias=True)
        return dumped(self.body)

    def sent_headers(self) -> dict[str, str]:
        """Its headers. Every POST gets a key, so that a repeat after a lost answer does nothing twice."""
        headers = dict(self.headers)
        if self.method == "POST":
            headers["Idempotency-Key"] = self.idempotency_key or str(uuid.uuid4())
        return headers

    def parameters(self) -> list[tuple[str, str | int | float | bool | None]]:
        """The query; a map `m` becomes `m[key]=value`."""
        pairs: list[tuple[str, str | int | float | bool | None]] = []
        for name, value in self.query.items():
            if isinstance(value, Mapping):
                pairs += [(f"{name}[{key}]", entry) for key, entry in value.items()]
            elif isinstance(value, bool):
                pairs.append((name, "true" if value else "false"))
            elif value is not None:
                pairs.append((name, str(value)))
        return pairs


def dumped(value: Any) -> Any:
    """Models inside maps and lists as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if isinstance(value, Mapping):
        return {key: dumped(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [dumped(entry) for entry in value]
    return value


def segment(value: str) -> str:
    """A value in a path. An empty one would name another resource."""
    if value in ("", ".", ".."):
        raise ValueError(f"an id in a path cannot be {value!r}")
    return quote(value, safe=":@")
