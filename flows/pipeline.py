"""The flow that scheduled deployments run: the tasks of `config`, one after the other, each as a subflow.

Prefect loads this file by path (`pipeline.py:deployment_schedule_flow_v5`) and puts its folder on `sys.path`.
A flow that fails returns a Failed state and does not raise: see `task_runs.py`.
"""

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Failed

from airbyte_tasks import SYNC
from run_results import PIPELINE_OUTPUT, bounded, store_results, task_result
from task_config import AIRBYTE, ordered_tasks
from task_runs import run_task


@flow(persist_result=False)
def deployment_schedule_flow_v5(
    config: dict, dbt_blocks: list | None = None, airbyte_blocks: list | None = None
) -> list[dict] | State:
    """Run `config["tasks"]` in the order of their `seq`, stopping at the first that fails.

    With `config["continue_on_sync_failure"]` the syncs come first, all of them; if any failed, the run ends there.
    `dbt_blocks` and `airbyte_blocks` are unused; hosts still send them. Returns what was run, in that order.
    """
    try:
        tasks = ordered_tasks(config)
    except ValueError as error:
        get_run_logger().error("%s", error)
        return Failed(message=str(error))
    syncs: list[dict[str, Any]] = []
    if config.get("continue_on_sync_failure"):
        syncs = [task for task in tasks if task["type"] == AIRBYTE and task["slug"] == SYNC]
        tasks = [task for task in tasks if task not in syncs]
    results: list[dict[str, Any]] = []
    failure = _run_all(syncs, results) or _run_until_failure(tasks, results)
    store_results(results)
    if failure:
        return Failed(message=failure)
    return [{key: task[key] for key in ("seq", "type", "slug")} for task in [*syncs, *tasks]]


def _run_until_failure(tasks: list[dict[str, Any]], results: list[dict[str, Any]]) -> str | None:
    """Run `tasks`, adding to `results`; return the message of the first that failed, if any."""
    for task in tasks:
        state = run_task(task)
        completed = state.is_completed()
        result = bounded(state.result(), PIPELINE_OUTPUT) if completed else None
        results.append(task_result(task, state, result))
        if not completed:
            return state.message or f"task {task['slug']!r} ended as {state.name}"
    return None


def _run_all(syncs: list[dict[str, Any]], results: list[dict[str, Any]]) -> str | None:
    """Run all of `syncs`, adding to `results`; return how many failed, and why, if any."""
    failures = [failure for sync in syncs if (failure := _run_until_failure([sync], results))]
    if not failures:
        return None
    return f"{len(failures)} of {len(syncs)} syncs failed: " + "; ".join(failures)
