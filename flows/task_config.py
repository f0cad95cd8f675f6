"""What a deployment's `config` must look like, checked before anything runs."""

from collections.abc import Iterator
from typing import Any

from airbyte_tasks import CLEAR, RESET
from airbyte_tasks import SLUGS as AIRBYTE_SLUGS

SHELL = "Shell Operation"
DBT = "dbt Core Operation"
AIRBYTE = "Airbyte Connection"
TYPES = (SHELL, DBT, AIRBYTE)


def ordered_tasks(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks of `config` by `seq` (equal ones as they came), leaving `config` as it is.

    The slug `airbyte-reset` is returned as `airbyte-clear`, which is what Airbyte calls it today.
    Raises ValueError that names every fault, by place and never by value: values may be secrets.
    """
    tasks = config.get("tasks")
    if not isinstance(tasks, list):
        raise ValueError("config is not valid: 'tasks' must be a list")
    faults = [f"tasks[{index}]: {fault}" for index, task in enumerate(tasks) for fault in _faults(task)]
    if faults:
        raise ValueError("config is not valid: " + "; ".join(faults))
    return [_by_new_name(task) for task in sorted(tasks, key=lambda task: task["seq"])]


def _by_new_name(task: dict[str, Any]) -> dict[str, Any]:
    if task["type"] == AIRBYTE and task["slug"] == RESET:
        return {**task, "slug": CLEAR}
    return task


def _faults(task: Any) -> Iterator[str]:
    if not isinstance(task, dict):
        yield "must be an object"
        return
    for key in ("type", "slug"):
        if not _is_text(task.get(key)):
            yield f"'{key}' must be a non-empty text"
    seq = task.get("seq")
    if isinstance(seq, bool) or not isinstance(seq, (int, float)):
        yield "'seq' must be a number"
    if task.get("type") == SHELL:
        yield from _text_faults(task, "working_dir")
        yield from _command_faults(task)
    elif task.get("type") == DBT:
        yield from _text_faults(task, "project_dir")
        yield from _command_faults(task)
        if not isinstance(task.get("cli_args"), (list, type(None))):
            yield "'cli_args' must be a list"
    elif task.get("type") == AIRBYTE:
        yield from _airbyte_faults(task)
    elif _is_text(task.get("type")):
        yield f"unknown type {task['type']!r} (known: {', '.join(TYPES)})"


def _command_faults(task: dict[str, Any]) -> Iterator[str]:
    commands = task.get("commands")
    if not isinstance(commands, list) or not all(isinstance(command, str) for command in commands):
        yield "'commands' must be a list of texts"
    env = task.get("env")
    if env is not None and not isinstance(env, dict):
        yield "'env' must be an object"
    elif env and not all(_is_env_name(name) for name in env):
        yield "'env' has a name that no environment variable can have"


def _airbyte_faults(task: dict[str, Any]) -> Iterator[str]:
    if _is_text(task.get("slug")) and task["slug"] not in AIRBYTE_SLUGS:
        yield f"unknown slug {task['slug']!r} (known for {AIRBYTE!r}: {', '.join(AIRBYTE_SLUGS)})"
    yield from _text_faults(task, "connection_id")
    timeout = task.get("timeout")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout < 0):
        yield "'timeout' must be a number of seconds"
    streams = task.get("streams")
    if streams is not None and not (isinstance(streams, list) and all(_is_stream(stream) for stream in streams)):
        yield "'streams' must be a list of objects with a 'streamName'"
    if not isinstance(task.get("catalog_diff"), (dict, type(None))):
        yield "'catalog_diff' must be an object"


def _text_faults(task: dict[str, Any], key: str) -> Iterator[str]:
    if not _is_text(task.get(key)):
        yield f"'{key}' must be a non-empty text"


def _is_stream(stream: Any) -> bool:
    return isinstance(stream, dict) and _is_text(stream.get("streamName"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_env_name(name: Any) -> bool:
    return _is_text(name) and "=" not in name and "\0" not in name
