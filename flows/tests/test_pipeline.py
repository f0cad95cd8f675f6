"""The flow as a whole, against a real (temporary) Prefect server."""

import copy
import json
from pathlib import Path
from typing import Any

from conftest import shell_task, subflows
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
from prefect.utilities.callables import parameter_schema

from pipeline import deployment_schedule_flow_v5


def run(*tasks: dict[str, Any]) -> State:
    return deployment_schedule_flow_v5({"tasks": list(tasks)}, return_state=True)


def test_parameter_schema_is_what_prefect_deploy_stores() -> None:
    stored = json.loads(Path(__file__, "../../parameter-schema.json").resolve().read_text())
    assert parameter_schema(deployment_schedule_flow_v5).model_dump() == stored
    assert deployment_schedule_flow_v5.name == "deployment-schedule-flow-v5"


def test_tasks_run_by_seq_as_named_subflows(client: SyncPrefectClient, tmp_path: Path) -> None:
    tasks = [
        shell_task(tmp_path, "echo last >> trail", slug="git-push", seq=10),
        shell_task(tmp_path, "echo first >> trail", slug="git-pull", seq=1),
        shell_task(tmp_path, "echo middle >> trail", slug="dbt-deps", seq=2),
    ]
    given = copy.deepcopy(tasks)
    state = run(*tasks)

    assert state.is_completed()
    assert (tmp_path / "trail").read_text().split() == ["first", "middle", "last"]
    names = ["shellop-git-pull", "shellop-dbt-deps", "shellop-git-push"]
    assert subflows(client, state) == [(name, "Completed") for name in names]
    assert tasks == given
    assert [task["slug"] for task in state.result()] == ["git-pull", "dbt-deps", "git-push"]


def test_a_failing_command_fails_the_run_and_stops_it(client: SyncPrefectClient, tmp_path: Path) -> None:
    state = run(
        shell_task(tmp_path, "true", "sh -c 'exit 7'", "touch same-task", slug="build", seq=1),
        shell_task(tmp_path, "touch next-task", seq=2),
    )
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message == "task 'build': command 2 of 3 exited with 7: sh -c 'exit 7'"
    assert subflows(client, state) == [("shellop-build", "Failed")]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_working_dir_fails_the_run(tmp_path: Path) -> None:
    state = run(shell_task(tmp_path / "absent", "true"))
    assert state.is_failed()
    assert state.message == f"task 'work': working_dir is not a directory: {tmp_path / 'absent'}"


def test_nothing_runs_when_the_config_is_not_valid(client: SyncPrefectClient, tmp_path: Path) -> None:
    state = run(shell_task(tmp_path, "touch ran", seq=1), {"type": "Shell Operation"})
    assert state.is_failed()
    assert "config is not valid: tasks[1]: 'slug' must be a non-empty text" in (state.message or "")
    assert subflows(client, state) == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_or_finished_run_leaves_no_result_on_disk(client: SyncPrefectClient, tmp_path: Path) -> None:
    storage = PREFECT_LOCAL_STORAGE_PATH.value()
    before = set(storage.rglob("*"))
    for state in (run(shell_task(tmp_path, "echo x")), run(shell_task(tmp_path, "false")), run({"type": "other"})):
        assert client.read_flow_run(state.state_details.flow_run_id).state.data is None
    assert set(storage.rglob("*")) == before


def test_no_tasks_is_a_success() -> None:
    state = run()
    assert state.is_completed()
    assert state.result() == []


def test_logs_hold_the_output_and_no_values_of_env(logged: list[str], tmp_path: Path) -> None:
    commands = ["echo größe", "echo careful 1>&2", "git ls-remote https://me:s3cret-pw@127.0.0.1:1/x.git"]
    state = run(shell_task(tmp_path, *commands, TOKEN="s3cret-token"))
    assert state.is_failed()
    assert {"größe", "careful", state.message} <= set(logged)
    everything = "\n".join([*logged, state.message or ""])
    assert "s3cret" not in everything
    assert "https://***@127.0.0.1:1/x.git" in everything
