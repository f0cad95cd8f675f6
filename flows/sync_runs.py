"""The flow of synchronous runs (`sync_runs.py:run_one_task`): one task, whose result is read when it is over."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from run_results import SYNC_RUN_OUTPUT, bounded, store_results, task_result
from task_config import DBT, SHELL, ordered_tasks
from task_runs import dbt_work, shell_work

PREFIXES = {DBT: "dbtjob", SHELL: "shellop"}


def _run_name() -> str:
    task = flow_run.parameters.get("task") or {}
    return task.get("flow_run_name") or f"{PREFIXES.get(task.get('type'), 'task')}-{task.get('slug')}"


@flow(flow_run_name=_run_name, persist_result=False)
def run_one_task(task: dict) -> list[str] | State:
    """Run one "dbt Core Operation" or "Shell Operation" in this very run, and keep its result as an artifact."""
    try:
        [task] = ordered_tasks({"tasks": [{"seq": 1, **task}]})
        if task["type"] not in PREFIXES:
            raise ValueError(f"config is not valid: type {task['type']!r} has no synchronous runs")
    except ValueError as error:
        get_run_logger().error("%s", error)
        return Failed(message=str(error))
    outcome = dbt_work(task) if task["type"] == DBT else shell_work(task)
    state = outcome if isinstance(outcome, State) else Completed(data=outcome)
    store_results([task_result(task, state, bounded(state.data, SYNC_RUN_OUTPUT))])
    return state
