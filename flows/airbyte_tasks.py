"""Tasks of the type "Airbyte Connection": sync, clear, update the schema."""

import time
from collections.abc import Callable
from typing import Any

from airbyte_api import OVER, Airbyte, Unavailable
from secret_blocks import read_block
from task_failed import TaskFailed

SYNC, CLEAR, UPDATE_SCHEMA = "airbyte-sync", "airbyte-clear", "update-schema"
# Airbyte's earlier word for a clear: hosts still have tasks of that slug.
RESET = "airbyte-reset"
SLUGS = (SYNC, CLEAR, RESET, UPDATE_SCHEMA)
# Seconds; for one request, not for a job.
REQUEST_TIMEOUT = 15.0
# Airbyte asks the source before it answers.
SCHEMA_TIMEOUT = 100.0
# Between two looks at a job: short at first, because small syncs end soon.
FIRST_POLL = 1.0
MAX_POLL = 15.0

Log = Callable[[str], None]


def run_airbyte(task: dict[str, Any], log: Log) -> dict[str, Any]:
    """Run one Airbyte task to its end and return what came of it. Raises TaskFailed.

    Where this run is cancelled, so is the job that it started.
    """
    connection_id = task["connection_id"]
    with _airbyte(task) as airbyte:
        status = airbyte.connection_status(connection_id)
        if status != "active":
            raise TaskFailed(f"the Airbyte connection {connection_id} is {status}: switch it on in Airbyte first")
        if task["slug"] == UPDATE_SCHEMA:
            return _update_schema(airbyte, connection_id, task.get("catalog_diff") or {}, log)
        if task["slug"] == SYNC:
            job_id = airbyte.start_sync(connection_id)
        else:
            job_id = airbyte.start_clear(connection_id, _streams(task))
        log(f"Airbyte job {job_id} of the connection {connection_id}")
        return _wait(airbyte, job_id, log)


def run_name(task: dict[str, Any]) -> str:
    """The name of the run that does the work, as hosts know it."""
    if task["slug"] == UPDATE_SCHEMA:
        return "airbyte-update-schema"
    return "airbyte-clear-streams" if task["slug"] == CLEAR and task.get("streams") else task["slug"]


def connection_block(connection_id: str) -> dict[str, Any] | None:
    """The data of the connection's own block, which is named by its id; hosts make one only where it says more."""
    return read_block("airbyte-connection", connection_id)


def _airbyte(task: dict[str, Any]) -> Airbyte:
    block = connection_block(task["connection_id"]) or {}
    server = block.get("airbyte_server")
    if not isinstance(server, dict):
        name = task.get("airbyte_server_block")
        if not name:
            raise TaskFailed("'airbyte_server_block' must name the Airbyte server's block")
        server = read_block("airbyte-server", name)
        if server is None:
            raise TaskFailed(f"there is no Airbyte server block named {name!r}")
    timeout = float(task.get("timeout") or REQUEST_TIMEOUT)
    return Airbyte(server, max(timeout, SCHEMA_TIMEOUT) if task["slug"] == UPDATE_SCHEMA else timeout)


def _streams(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The streams to clear; Airbyte takes a namespace that is null for one of that name."""
    keys = ("streamName", "streamNamespace")
    return [{key: stream[key] for key in keys if stream.get(key)} for stream in task.get("streams") or []]


def _wait(airbyte: Airbyte, job_id: int, log: Log) -> dict[str, Any]:
    try:
        job = _follow(airbyte, job_id, log)
    except Exception:
        raise
    except BaseException:  # the signal of a cancellation
        try:
            airbyte.cancel(job_id)
            log(f"Airbyte job {job_id} is cancelled with this run")
        except (TaskFailed, Unavailable) as error:
            log(f"Airbyte job {job_id} could not be cancelled: {error}")
        raise
    if job["status"] != "succeeded":
        reason = airbyte.why_failed(job_id)
        raise TaskFailed(f"Airbyte job {job_id} {job['status']}" + (f": {reason}" if reason else ""))
    counts = {"rows": job.get("rowsSynced"), "bytes": job.get("bytesSynced")}
    told = ", ".join(f"{count} {unit}" for unit, count in counts.items() if count is not None)
    log(f"Airbyte job {job_id} succeeded" + (f": {told}" if told else ""))
    return {"job_id": job_id, "job_status": "succeeded", "rows_synced": counts["rows"], "bytes_synced": counts["bytes"]}


def _follow(airbyte: Airbyte, job_id: int, log: Log) -> dict[str, Any]:
    seen, wait = None, FIRST_POLL
    while (job := airbyte.job(job_id)).get("status") not in OVER:
        if job.get("status") != seen:
            seen = job.get("status")
            log(f"Airbyte job {job_id} is {seen}")
        time.sleep(wait)
        wait = min(wait * 1.5, MAX_POLL)
    return job


def _update_schema(airbyte: Airbyte, connection_id: str, expected: dict[str, Any], log: Log) -> dict[str, Any]:
    connection = airbyte.connection_with_source_catalog(connection_id)
    changed = _changed_streams(connection.get("catalogDiff"))
    # The user agreed to other changes than those that would be made now.
    if changed != _changed_streams(expected):
        raise TaskFailed("the source's schema has changed again since this update was asked for: look at it anew")
    # Without skipReset Airbyte would clear what is changed and sync it again.
    changes = {"syncCatalog": connection.get("syncCatalog"), "skipReset": True}
    if not isinstance(changes["syncCatalog"], dict):
        raise TaskFailed("Airbyte answered without the connection's catalog")
    if connection.get("catalogId"):
        changes["sourceCatalogId"] = connection["catalogId"]
    airbyte.update_connection(connection_id, changes)
    names = sorted(name for _, name in changed)
    log(f"the schema of the connection {connection_id} is up to date; changed streams: {', '.join(names) or 'none'}")
    return {"changed_streams": names}


def _changed_streams(diff: Any) -> set[tuple[str, str]]:
    transforms = (diff or {}).get("transforms") or []
    streams = [transform.get("streamDescriptor") or {} for transform in transforms]
    return {(stream.get("namespace") or "", stream["name"]) for stream in streams if stream.get("name")}
