"""Makes the work pool and its queues at the Prefect server. Two workers may do so at the same time."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

ATTEMPTS = 10


class PoolError(Exception):
    """The pool or a queue cannot be as it is wanted; the text says why."""


def client(api_url: str, auth_string: str | None) -> httpx.Client:
    """A client of the Prefect server. `auth_string` is user:password."""
    user, _, password = (auth_string or "").partition(":")
    return httpx.Client(base_url=api_url, auth=(user, password) if user else None, timeout=10)


def wait_until_healthy(api: httpx.Client, seconds: float) -> None:
    """Return when the server answers its health check. Raises PoolError after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        try:
            if api.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > until:
            raise PoolError(f"the Prefect server at {api.base_url} was not healthy within {seconds:.0f} s")
        time.sleep(0.5)


def ensure_pool(api: httpx.Client, name: str, kind: str, queues: Mapping[str, int | None]) -> None:
    """Make the pool and its queues where they are missing, and set the queues' limits: None for no limit.

    Raises PoolError where there is a pool of that name and of another type, or where the server refuses.
    """
    path = f"/work_pools/{quote(name, safe='')}"
    if _send(api, "POST", "/work_pools/", {"name": name, "type": kind}).status_code == 409:
        found = _send(api, "GET", path).json()["type"]
        if found != kind:
            raise PoolError(f"the work pool {name} is of type {found}, not {kind}: choose another PREFECT_POOL_NAME")
    for queue, limit in queues.items():
        body = {"name": queue, "concurrency_limit": limit}
        if _send(api, "POST", f"{path}/queues", body).status_code == 409:
            _send(api, "PATCH", f"{path}/queues/{quote(queue, safe='')}", {"concurrency_limit": limit})


def _send(api: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    """The server's reply: 2xx, or 409 for something that is there already. What may pass is tried again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            reply = api.request(method, path, json=body)
        except httpx.TransportError as error:
            problem = f"the Prefect server cannot be reached for {method} {path}: {error}"
        else:
            if reply.is_success or reply.status_code == 409:
                return reply
            problem = f"the Prefect server answered {reply.status_code} to {method} {path}"
            if reply.status_code < 500:
                break
        time.sleep(0.2 * attempt)
    raise PoolError(problem)
