"""The subflows: one for each type of task.

Nothing here may leave a pickle behind. So results are not persisted, and a flow that fails returns a Failed state: for
an exception that is raised, Prefect 3.8 writes a pickle to the worker's disk whatever `persist_result` says.
"""

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from airbyte_tasks import SYNC, connection_block, run_airbyte, run_name
from column_casts import casts_in, run_casts
from dbt_tasks import run_dbt
from edr_tasks import run_edr
from git_access import GIT_SLUGS, git_task
from shell_commands import run_commands
from task_config import DBT, SHELL
from task_failed import CommandFailed, TaskFailed

DBT_TEST = "dbt-test"
DBT_TEST_FAILED = "DBT_TEST_FAILED"
EDR = "generate-edr"

Log = Callable[[str], None]


@flow(name="shellopjob", flow_run_name="shellop-{task_slug}", persist_result=False)
def shellopjob(task_config: dict, task_slug: str) -> list[str] | State:
    """Run the commands of one "Shell Operation" in one shell; return what they wrote to stdout, by line."""
    return shell_work(task_config)


@flow(name="dbtjob", flow_run_name="dbtjob-{task_slug}", persist_result=False)
def dbtjob(task_config: dict, task_slug: str) -> list[str] | State:
    """Run the commands of one "dbt Core Operation"; return what dbt wrote to stdout, by line."""
    return dbt_work(task_config)


@flow(name="airbytejob", flow_run_name="airbyte-trigger", persist_result=False)
def airbytejob(payload: dict) -> dict | State:
    """Run one "Airbyte Connection" task. Hosts find its configuration under `payload` in the graph."""
    name = run_name(payload)
    state = airbyteop.with_options(flow_run_name=name)(payload, return_state=True)
    if not state.is_completed():
        return Failed(message=state.message)
    if payload["slug"] == SYNC:
        # The data are there: a cast that fails does not fail the sync.
        attempt("post-sync-ops", partial(_post_sync, payload["connection_id"]))
    return state.result()


@flow(name="airbyteop", persist_result=False)
def airbyteop(payload: dict) -> dict | State:
    """The work of an Airbyte task, a run of its own as hosts know it."""
    return attempt(payload["slug"], partial(run_airbyte, payload))


@flow(name="post-sync-ops", flow_run_name="post-sync-ops", persist_result=False)
def postsyncops(connection_id: str) -> int | State:
    """Cast the columns that the connection's block names; return how many tables were changed."""
    extra = (connection_block(connection_id) or {}).get("extra") or {}
    return attempt("post-sync-ops", partial(run_casts, extra))


def run_task(task: dict[str, Any]) -> State:
    """Run one (valid) task as a subflow and return its final state."""
    if task["type"] == SHELL:
        return shellopjob(task, task["slug"], return_state=True)
    if task["type"] == DBT:
        return dbtjob(task, task["slug"], return_state=True)
    prefix = "" if task["slug"].startswith("airbyte-") else "airbyte-"
    return airbytejob.with_options(flow_run_name=f"{prefix}{task['slug']}-trigger")(task, return_state=True)


def shell_work(task: dict[str, Any]) -> list[str] | State:
    """What a "Shell Operation" does, in the run of the caller."""
    return attempt(task["slug"], partial(_run_edr_or_shell, task))


def dbt_work(task: dict[str, Any]) -> list[str] | State:
    """What a "dbt Core Operation" does, in the run of the caller."""
    return attempt(task["slug"], partial(_run_dbt_or_test, task))


def attempt(slug: str, work: Callable[[Log], Any]) -> Any:
    """What `work` returns, or a Failed state that says why it did not succeed."""
    logger = get_run_logger()
    try:
        # "%s", because the output is free to hold a per cent sign.
        return work(partial(logger.info, "%s"))
    except TaskFailed as error:
        message = f"task {slug!r}: {error}"
    except Exception as error:  # no pickle: see above
        # Where, but not the text: nobody knows what it holds.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("%s", f"{type(error).__name__} at\n{where}")
        message = f"task {slug!r}: ended by an unexpected {type(error).__name__}, see the logs"
    logger.error("%s", message)
    return Failed(message=message)


def _post_sync(connection_id: str, log: Log) -> None:
    extra = (connection_block(connection_id) or {}).get("extra") or {}
    if casts_in(extra) and not postsyncops(connection_id, return_state=True).is_completed():
        raise TaskFailed("the sync succeeded, but not all of its casts did")


def _run_edr_or_shell(task: dict[str, Any], log: Log) -> list[str]:
    if task["slug"] == EDR:
        return run_edr(task, log)
    commands, env, secrets = task["commands"], task.get("env") or {}, []
    if task["slug"] in GIT_SLUGS:
        commands, env, secrets = git_task(task)
    return run_commands(commands, task["working_dir"], env, log, secrets=secrets)


def _run_dbt_or_test(task: dict[str, Any], log: Log) -> list[str] | State:
    try:
        return run_dbt(task, log)
    except CommandFailed as error:
        if task["slug"] != DBT_TEST or error.was_killed:
            raise
        # A finding about the data, not a fault of the pipeline.
        return Completed(name=DBT_TEST_FAILED, message=f"task {DBT_TEST!r}: {error}", data=error.lines)
