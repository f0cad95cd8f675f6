"""A small Airbyte: the calls that the flows make, each checked; any other is a fault."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from servers import Service, basic, serve

USER, PASSWORD = "airbyte", "s3cret-airbyte"


class AirbyteFake:
    """What a test sets up, and what was asked."""

    def __init__(self) -> None:
        self.service: Service
        self.connections = {"c1": "active", "c2": "active", "c3": "active", "off": "inactive"}
        # The states that a job goes through, one a look; the last one stays.
        self.statuses = ["pending", "running", "incomplete", "succeeded"]
        self.by_connection: dict[str, list[str]] = {}
        self.failure: Any = {}
        self.catalog: dict[str, Any] = {}
        # Statuses to answer with instead, by "METHOD path", in this order; None: answer as usual.
        self.trouble: dict[str, list[int | None]] = {}
        # Whether a request that is answered with trouble is carried out all the same.
        self.acts_in_trouble = False
        self.jobs: dict[int, dict[str, Any]] = {}
        self.unexpected: list[str] = []

    def asked(self, path: str, method: str = "POST") -> list[Any]:
        """The bodies (or queries) of the calls of `path`."""
        return [body for a, b, body in self.service.calls if (a, b) == (method, f"/api/{path}")]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.service.headers[-1].get("authorization") != basic(USER, PASSWORD):
            return 401, {"message": "Unauthorized"}
        waiting = self.trouble.get(f"{method} {path}") or [None]
        status = waiting.pop(0) if waiting else None
        if status and not self.acts_in_trouble:
            return status, {"message": f"trouble {status}"}
        usual = self._usual(method, path.removeprefix("/api/"), body)
        return (status, {}) if status else usual

    def _usual(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", "v1/connections/get"):
            status = self.connections.get(body["connectionId"])
            return (200, {"status": status}) if status else (404, {"message": "Could not find configuration"})
        if (method, path) == ("POST", "public/v1/jobs"):
            return 200, {"jobId": self._new_job("sync", body["connectionId"]), "status": "pending", "jobType": "sync"}
        if (method, path) == ("GET", "public/v1/jobs"):
            return 200, {"data": [job for job in reversed(self.jobs.values()) if job["jobType"] == body["jobType"]]}
        if method == "GET" and path.startswith("public/v1/jobs/"):
            return self._look(int(path.rpartition("/")[2]))
        if method == "POST" and path in ("v1/connections/clear", "v1/connections/clear/stream"):
            return 200, {"job": {"id": self._new_job("clear", body["connectionId"]), "status": "pending"}}
        if (method, path) == ("POST", "v1/jobs/get"):
            return 200, self.failure
        if (method, path) == ("POST", "v1/jobs/cancel"):
            self.jobs[body["id"]]["ahead"] = ["cancelled"]
            return 200, {"job": {"id": body["id"]}}
        if (method, path) == ("POST", "v1/web_backend/connections/get"):
            return 200, self.catalog
        if (method, path) == ("POST", "v1/web_backend/connections/update"):
            return 200, {}
        self.unexpected.append(f"{method} {path}")
        return 404, {}

    def _new_job(self, type_: str, connection_id: str) -> int:
        number = 41 + len(self.jobs)
        ahead = list(self.by_connection.get(connection_id) or self.statuses)
        self.jobs[number] = {"jobId": number, "jobType": type_, "status": "pending", "ahead": ahead}
        return number

    def _look(self, number: int) -> tuple[int, Any]:
        job = self.jobs[number]
        job["status"] = job["ahead"].pop(0) if len(job["ahead"]) > 1 else job["ahead"][0]
        counts = {"rowsSynced": 7, "bytesSynced": 512} if job["status"] == "succeeded" else {}
        return 200, {"jobId": number, "status": job["status"], **counts}


@contextmanager
def airbyte_server() -> Iterator[AirbyteFake]:
    fake = AirbyteFake()
    with serve(fake.answer) as fake.service:
        yield fake
    assert fake.unexpected == []
