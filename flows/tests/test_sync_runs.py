"""What a REST client reads of a run's tasks."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from blocks import save_secret
from conftest import shell_task, subflows
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.utilities.callables import parameter_schema

from pipeline import deployment_schedule_flow_v5
from run_results import bounded
from sync_runs import run_one_task


def results(client: SyncPrefectClient, state: State) -> list[dict[str, Any]]:
    """The tasks' results, in the way that README.md describes."""
    run_id = str(state.state_details.flow_run_id)
    body = {"artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"any_": ["task-results"]}}}
    [artifact] = client._client.post("/artifacts/filter", json=body).json()
    assert artifact["type"] == "result"
    return artifact["data"]["tasks"]


def run(task: dict[str, Any]) -> State:
    return run_one_task(task, return_state=True)


def test_parameter_schema_is_what_prefect_deploy_stores() -> None:
    stored = json.loads(Path(__file__, "../../sync-runs-parameter-schema.json").resolve().read_text())
    assert parameter_schema(run_one_task).model_dump() == stored
    assert run_one_task.name == "run-one-task"


def test_a_shell_task_runs_alone_and_its_lines_can_be_read(client: SyncPrefectClient, tmp_path: Path) -> None:
    task = shell_task(tmp_path, "echo größe", "echo https://u:s3cret@h/", "echo no >&2", slug="git-pull")
    del task["seq"]  # hosts send none
    named = run({**task, "flow_name": "x", "flow_run_name": "y"})
    assert client.read_flow_run(named.state_details.flow_run_id).name == "y"
    state = run(task)
    assert state.is_completed()
    assert client.read_flow_run(state.state_details.flow_run_id).name == "shellop-git-pull"
    assert subflows(client, state) == []
    assert results(client, state) == [
        {
            "seq": 1,
            "type": "Shell Operation",
            "slug": "git-pull",
            "state_type": "COMPLETED",
            "state_name": "Completed",
            "message": None,
            "result": ["größe", "https://***@h/"],
        }
    ]


def test_a_failure_can_be_read(client: SyncPrefectClient, tmp_path: Path) -> None:
    state = run(shell_task(tmp_path, "echo on", "exit 4"))
    assert state.is_failed()
    [result] = results(client, state)
    message = "task 'work': command 2 of 2 exited with 4: exit 4"
    assert (result["state_type"], result["message"], result["result"]) == ("FAILED", message, None)
    assert state.message == message


@pytest.mark.parametrize(
    ("status", "slug", "name", "result"),
    [
        (0, "dbt-run", "Completed", ["done"]),
        (1, "dbt-test", "DBT_TEST_FAILED", ["done"]),
        (1, "dbt-run", "Failed", None),
    ],
)
def test_a_dbt_task_runs_alone(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    status: int, slug: str, name: str, result: list[str] | None,
) -> None:  # fmt: skip
    program = tmp_path / "dbt"
    program.write_text(f"#!/bin/sh\necho done\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("FLOWS_DBT", str(program))
    (tmp_path / "dbt_project.yml").write_text("profile: shop")
    save_secret("alone", json.dumps({"wtype": "postgres", "default_schema": "s", "creds": {"host": "h"}}))
    env = {"dbt-profile-secret-block": "alone"}
    folders = dict.fromkeys(("project_dir", "working_dir", "profiles_dir"), str(tmp_path))
    task = {"type": "dbt Core Operation", "slug": slug, "commands": [f"dbt {shlex.quote(slug)}"], "env": env, **folders}
    state = run(task)
    assert client.read_flow_run(state.state_details.flow_run_id).name == f"dbtjob-{slug}"
    [read] = results(client, state)
    assert (read["state_name"], read["result"]) == (name, result)
    assert client.read_flow_run(state.state_details.flow_run_id).state_name == name


def test_what_has_no_synchronous_runs_is_refused(client: SyncPrefectClient) -> None:
    state = run({"type": "Airbyte Connection", "slug": "airbyte-sync", "connection_id": "c"})
    assert state.is_failed()
    assert state.message == "config is not valid: type 'Airbyte Connection' has no synchronous runs"
    state = run({"slug": "x"})
    assert "tasks[0]: 'type' must be a non-empty text" in (state.message or "")


def test_long_output_is_kept_from_its_end() -> None:
    lines = ["x" * 99, "a" * 4, "", "b" * 4]
    assert bounded(lines, 11) == lines[1:]
    assert bounded(lines, 10) == lines[2:]
    assert bounded(lines, 1000) == lines
    assert bounded({"job_id": 1}, 1) == {"job_id": 1}


def test_a_pipeline_has_one_result_for_each_task_that_ran(client: SyncPrefectClient, tmp_path: Path) -> None:
    tasks = [
        shell_task(tmp_path, "echo one", slug="a", seq=1),
        shell_task(tmp_path, "echo two; false", slug="b", seq=2),
        shell_task(tmp_path, "echo three", slug="c", seq=3),
    ]
    state = deployment_schedule_flow_v5({"tasks": tasks}, return_state=True)
    read = results(client, state)
    assert [(task["slug"], task["state_name"], task["result"]) for task in read] == [
        ("a", "Completed", ["one"]),
        ("b", "Failed", None),
    ]
