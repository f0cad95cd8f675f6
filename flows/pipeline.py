"""The flow that scheduled deployments run: the tasks of `config`, one after the other, each as a subflow.

Prefect loads this file by path (`pipeline.py:deployment_schedule_flow_v5`) and puts its folder on `sys.path`.

Nothing here may leave a pickle behind. So results are not persisted, and a flow that fails returns a Failed state: for
an exception that is raised, Prefect 3.8 writes a pickle to the worker's disk whatever `persist_result` says.
"""

from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Failed

from shell_commands import TaskFailed, run_commands
from task_config import AIRBYTE, DBT, SHELL, ordered_tasks

GIT_SECRET_KEY = "secret-git-pull-url-block"


@flow(name="shellopjob", flow_run_name="shellop-{task_slug}", persist_result=False)
def shellopjob(task_config: dict, task_slug: str) -> list[str] | State:
    """Run the commands of one "Shell Operation" in one shell; return what they wrote to stdout, by line."""
    env = dict(task_config.get("env") or {})
    if task_slug in ("git-pull", "git-clone") and env.get(GIT_SECRET_KEY):
        return _failed(task_slug, f"a repository URL from a Secret block ({GIT_SECRET_KEY}) is not supported yet")
    logger = get_run_logger()
    try:
        # "%s", because the output is free to hold a per cent sign.
        log = partial(logger.info, "%s")
        return run_commands(task_config["commands"], task_config["working_dir"], env, log)
    except TaskFailed as error:
        return _failed(task_slug, str(error))


@flow(name="dbtjob", flow_run_name="dbtjob-{task_slug}", persist_result=False)
def dbtjob(task_config: dict, task_slug: str) -> State:
    """Stand in for the dbt runner, so that the graph shows which task can't run yet."""
    return _failed(task_slug, f"type {DBT!r} is not supported yet")


@flow(name="airbytejob", flow_run_name="{payload[slug]}-trigger", persist_result=False)
def airbytejob(payload: dict) -> State:
    """Stand in for the Airbyte runner. Hosts find an Airbyte task's configuration under `payload` in the graph."""
    return _failed(payload["slug"], f"type {AIRBYTE!r} is not supported yet")


@flow(persist_result=False)
def deployment_schedule_flow_v5(
    config: dict, dbt_blocks: list | None = None, airbyte_blocks: list | None = None
) -> list[dict] | State:
    """Run `config["tasks"]` in the order of their `seq`, stopping at the first that fails.

    `dbt_blocks` and `airbyte_blocks` are unused; hosts still send them. Returns what was run, in that order.
    """
    try:
        tasks = ordered_tasks(config)
    except ValueError as error:
        get_run_logger().error("%s", error)
        return Failed(message=str(error))
    for task in tasks:
        state = _run(task)
        if not state.is_completed():
            return Failed(message=state.message)
    return [{key: task[key] for key in ("seq", "type", "slug")} for task in tasks]


def _run(task: dict[str, Any]) -> State:
    if task["type"] == SHELL:
        return shellopjob(task, task["slug"], return_state=True)
    if task["type"] == DBT:
        return dbtjob(task, task["slug"], return_state=True)
    return airbytejob(task, return_state=True)


def _failed(slug: str, reason: str) -> State:
    message = f"task {slug!r}: {reason}"
    get_run_logger().error("%s", message)
    return Failed(message=message)
