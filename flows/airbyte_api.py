"""The few calls of Airbyte's REST API that the flows need.

Jobs by the public API, the rest by the configuration API, which alone can clear streams and refresh a schema.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from task_failed import TaskFailed

UNDER_WAY = ("pending", "running", "incomplete")
OVER = ("succeeded", "failed", "cancelled")
# How long the server may be away before a task gives up, and the waits between the attempts; seconds.
MAX_OUTAGE = 600.0
FIRST_RETRY = 1.0
MAX_RETRY = 30.0
CANCEL_TIMEOUT = 5.0

T = TypeVar("T")


class Unavailable(Exception):
    """The server could not be reached, took too long or answered with a 5xx or 429; the message holds no secret."""


class Airbyte:
    """One Airbyte server, by the data of its "airbyte-server" block."""

    def __init__(self, server: dict[str, Any], timeout: float) -> None:
        """`timeout` is for one request, in seconds. Raises TaskFailed where the block's data make no URL."""
        scheme = "https" if server.get("use_ssl") else "http"
        root = f"{scheme}://{server.get('server_host') or 'localhost'}:{server.get('server_port') or 8000}/api/"
        version = server.get("api_version") or "v1"
        auth = (server.get("username") or "airbyte", server.get("password") or "password")
        try:
            self._http = httpx.Client(base_url=root, auth=auth, timeout=timeout)
        except (httpx.InvalidURL, ValueError):
            raise TaskFailed("the Airbyte server's block holds no valid host and port") from None
        self._config, self._public = version, f"public/{version}"

    def __enter__(self) -> "Airbyte":
        return self

    def __exit__(self, *_: Any) -> None:
        self._http.close()

    def connection_status(self, connection_id: str) -> str:
        """active, inactive or deprecated. `POST /v1/connections/get`"""
        reply = self._read(f"{self._config}/connections/get", {"connectionId": connection_id})
        return str(reply.get("status"))

    def start_sync(self, connection_id: str) -> int:
        """Start a sync and return the job's id. `POST /public/v1/jobs`"""
        body = {"jobType": "sync", "connectionId": connection_id}
        return self._start("sync", connection_id, lambda: self._post(f"{self._public}/jobs", body)["jobId"])

    def start_clear(self, connection_id: str, streams: list[dict[str, Any]] | None) -> int:
        """Start to clear all data of a connection, or that of `streams`; return the job's id.

        `POST /v1/connections/clear` and `POST /v1/connections/clear/stream`
        """
        path, body = "clear", {"connectionId": connection_id}
        if streams:
            path, body = "clear/stream", {"connectionId": connection_id, "streams": streams}
        where = f"{self._config}/connections/{path}"
        return self._start("clear", connection_id, lambda: self._post(where, body)["job"]["id"])

    def job(self, job_id: int) -> dict[str, Any]:
        """A job with its `status`. `GET /public/v1/jobs/{id}`"""
        return persistent(lambda: self._send("GET", f"{self._public}/jobs/{job_id}"))

    def cancel(self, job_id: int) -> None:
        """Ask for the end of a job, once and briefly. `POST /v1/jobs/cancel`"""
        self._send("POST", f"{self._config}/jobs/cancel", json={"id": job_id}, timeout=CANCEL_TIMEOUT)

    def why_failed(self, job_id: int) -> str:
        """What Airbyte says to users about the failure of a job, or nothing. `POST /v1/jobs/get`"""
        try:
            attempts = self._post(f"{self._config}/jobs/get", {"id": job_id})["attempts"]
            failures = attempts[-1]["attempt"]["failureSummary"]["failures"]
            return "; ".join(text for failure in failures if (text := failure.get("externalMessage")))
        except (TaskFailed, Unavailable, LookupError, TypeError, AttributeError):
            return ""

    def connection_with_source_catalog(self, connection_id: str) -> dict[str, Any]:
        """The connection as it would be with the source's present schema. `POST /v1/web_backend/connections/get`"""
        body = {"connectionId": connection_id, "withRefreshedCatalog": True}
        return self._read(f"{self._config}/web_backend/connections/get", body)

    def update_connection(self, connection_id: str, changes: dict[str, Any]) -> None:
        """Change the given fields of a connection. `POST /v1/web_backend/connections/update`"""
        self._read(f"{self._config}/web_backend/connections/update", {"connectionId": connection_id, **changes})

    def _start(self, job_type: str, connection_id: str, start: Callable[[], int]) -> int:
        unsure = False

        def attempt() -> int:
            nonlocal unsure
            # A request without an answer may have started the job: to start another one would fail.
            found = self._job_under_way(job_type, connection_id) if unsure else None
            unsure = True
            try:
                return found or start()
            except (LookupError, TypeError):
                raise TaskFailed("Airbyte answered without the id of a job") from None

        return persistent(attempt)

    def _job_under_way(self, job_type: str, connection_id: str) -> int | None:
        query = {"connectionId": connection_id, "jobType": job_type, "orderBy": "createdAt|DESC", "limit": 1}
        jobs = self._send("GET", f"{self._public}/jobs", params=query).get("data") or []
        return next((job["jobId"] for job in jobs if job.get("status") in UNDER_WAY), None)

    def _read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return persistent(lambda: self._post(path, body))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._send("POST", path, json=body)

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        what = f"Airbyte's {method} /api/{path}"
        try:
            reply = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            # Its text is left out: it may be the URL.
            raise Unavailable(f"{what}: {type(error).__name__}") from None
        if reply.status_code == 429 or reply.status_code >= 500:
            raise Unavailable(f"{what} answered {reply.status_code}")
        if not reply.is_success:
            raise TaskFailed(_refusal(what, reply))
        try:
            body = reply.json() if reply.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Unavailable(f"{what} answered with something else than a JSON object")
        return body


def persistent(call: Callable[[], T]) -> T:
    """What `call` returns; while it finds the server unavailable it is tried again, for MAX_OUTAGE at most."""
    give_up, wait = time.monotonic() + MAX_OUTAGE, FIRST_RETRY
    while True:
        try:
            return call()
        except Unavailable as error:
            if time.monotonic() + wait > give_up:
                raise TaskFailed(str(error)) from None
        time.sleep(wait)
        wait = min(wait * 2, MAX_RETRY)


def _refusal(what: str, reply: httpx.Response) -> str:
    if reply.status_code in (401, 403):
        return f"{what} answered {reply.status_code}: it refuses the user name and password of the server's block"
    try:
        said = reply.json()
        said = said.get("detail") or said.get("message") or said.get("title")
    except (ValueError, AttributeError):
        said = None
    return f"{what} answered {reply.status_code}" + (f": {said}" if isinstance(said, str) else "")
