"""Where the server is and what opens it: arguments, else the environment, as Trainyard's own command line reads it."""

from __future__ import annotations

import os

from trainyard.errors import TrainyardError

DEFAULT_URL = "http://127.0.0.1:8420"


def resolve(base_url: str | None, api_key: str | None) -> tuple[str, str]:
    """Base URL without `/v1`, and the key. OPENAI_API_KEY counts only beside OPENAI_BASE_URL, so that OpenAI's key goes nowhere
    else."""
    url = base_url or os.environ.get("TRAINYARD_URL")
    key = api_key or os.environ.get("TRAINYARD_API_KEY")
    if not url and os.environ.get("OPENAI_BASE_URL"):
        url = os.environ["OPENAI_BASE_URL"]
        key = key or os.environ.get("OPENAI_API_KEY")
    url = (url or DEFAULT_URL).rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        raise TrainyardError(f"the base URL has to begin with http:// or https://, not {url!r}")
    if not key:
        raise TrainyardError("no API key: give api_key=, or set TRAINYARD_API_KEY (or OPENAI_BASE_URL and OPENAI_API_KEY)")
    return url, key
