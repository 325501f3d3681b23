"""Asks a running watcher how it is, over its own door."""

from __future__ import annotations

from typing import Any, Final

import httpx

from consensus.errors import Unavailable

TIMEOUT_SECONDS: Final = 5.0


async def fetch_status(address: str) -> dict[str, Any]:
    """The watcher's own words. Raises `Unavailable` where it gives none."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = await client.get(f"{address}/status")
        status = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(
            f"no watcher answers at {address} ({type(error).__name__}); is `tocsin run` up?"
        ) from error
    if not isinstance(status, dict) or "ready" not in status:
        raise Unavailable(f"what answers at {address} is no watcher; is operate.listen another's port?")
    return status
