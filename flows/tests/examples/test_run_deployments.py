"""The example that runs several deployments at once. A thread does the part of their workers."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Crashed, Failed, Running

from examples import run_deployments as example
from examples.run_deployments import run_deployments

Ends = Callable[[FlowRun], State]


@pytest.fixture(autouse=True)
def _short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "POLL_SECONDS", 0.02)


@pytest.fixture
def name(client: SyncPrefectClient) -> str:
    """A deployment."""
    tag = f"made-{uuid4().hex[:8]}"
    flow_id = client.create_flow_from_name(tag)
    client.create_deployment(flow_id, "d", parameters={"own": 1, "given": 1}, enforce_parameter_schema=False)
    return f"{tag}/d"


@contextmanager
def worker(name: str, ends: Ends, together: int = 1) -> Iterator[list[int]]:
    """Brings the deployment's runs to their end, `together` at a time; the numbers that were open at once."""
    numbers: list[int] = []
    over = threading.Event()

    def work() -> None:
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(name)
            mine = {"deployment_id": {"any_": [deployment.id]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
            while not over.is_set():
                runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(mine))
                numbers.append(len(runs))
                for run in runs if len(runs) >= together else []:
                    client.set_flow_run_state(run.id, Running(), force=True)
                    client.set_flow_run_state(run.id, ends(run), force=True)
                time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield numbers
    finally:
        over.set()
        thread.join()


def start(runs: list[dict[str, Any]], **options: Any) -> State:
    return asyncio.run(run_deployments(runs, **options, return_state=True))


def table(client: SyncPrefectClient, state: State) -> list[dict[str, Any]]:
    mine = ArtifactFilter.model_validate({"flow_run_id": {"any_": [state.state_details.flow_run_id]}})
    [artifact] = client.read_artifacts(artifact_filter=mine)
    assert (artifact.key, artifact.type) == ("deployment-runs", "table")
    return json.loads(artifact.data)


def children(client: SyncPrefectClient, state: State) -> list[FlowRun]:
    parent = {"parent_flow_run_id": {"any_": [state.state_details.flow_run_id]}}
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(parent))


def test_all_succeed(client: SyncPrefectClient, name: str) -> None:
    def ends(run: FlowRun) -> State:
        result = {"tasks": [{"result": run.parameters["given"]}]}
        client.create_artifact(ArtifactCreate(key="task-results", type="result", data=result, flow_run_id=run.id))
        return Completed(message="well")

    with worker(name, ends):
        state = start([{"deployment": name}, {"deployment": name, "parameters": {"given": 2}}])
    assert state.is_completed(), state.message
    outcomes = state.result()
    assert [outcome["results"] for outcome in outcomes] == [[{"tasks": [{"result": 1}]}], [{"tasks": [{"result": 2}]}]]
    runs = {str(run.id): run for run in children(client, state)}
    assert set(runs) == {outcome["flow_run_id"] for outcome in outcomes}
    assert runs[outcomes[1]["flow_run_id"]].parameters == {"own": 1, "given": 2}
    first = table(client, state)[0]
    assert {key: first[key] for key in ("deployment", "flow_run", "state", "message", "results")} == {
        "deployment": name,
        "flow_run": runs[outcomes[0]["flow_run_id"]].name,
        "state": "Completed",
        "message": "well",
        "results": '[{"tasks": [{"result": 1}]}]',
    }


def test_no_more_than_allowed_run_at_once(name: str) -> None:
    with worker(name, lambda _: Completed(), together=2) as numbers:
        assert start([{"deployment": name}] * 4, max_parallel=2).is_completed()
    assert max(numbers) == 2


def test_which_failed_is_said_and_the_others_run_nevertheless(client: SyncPrefectClient, name: str) -> None:
    bad = {"failed": Failed(message="no disk"), "crashed": Crashed(message="killed"), "well": Completed()}
    runs = [{"deployment": name, "parameters": {"given": end}} for end in bad]
    with worker(name, lambda run: bad[run.parameters["given"]]):
        state = start([*runs, {"deployment": "no-such/deployment"}], max_parallel=1)
    assert state.is_failed()
    assert state.message == (
        f"3 of 4 runs did not succeed: {name} (Failed: no disk); {name} (Crashed: killed); "
        "no-such/deployment (Not started: there is no such deployment)"
    )
    assert [row["state"] for row in table(client, state)] == ["Failed", "Crashed", "Completed", "Not started"]


def test_a_run_that_is_not_over_in_time_is_no_success(client: SyncPrefectClient, name: str) -> None:
    state = start([{"deployment": name}], timeout_seconds=0.1)
    assert state.message == f"1 of 1 runs did not succeed: {name} (Scheduled: not over after 0.1 s)"
    [child] = children(client, state)
    [task_run] = client.read_task_runs(
        task_run_filter=TaskRunFilter.model_validate({"flow_run_id": {"any_": [state.state_details.flow_run_id]}})
    )
    assert child.parent_task_run_id == task_run.id


def test_a_refusal_is_told_with_its_reason(client: SyncPrefectClient) -> None:
    tag = f"made-{uuid4().hex[:8]}"
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    flow_id = client.create_flow_from_name(tag)
    client.create_deployment(flow_id, "d", parameter_openapi_schema=schema, enforce_parameter_schema=True)
    state = start([{"deployment": f"{tag}/d", "parameters": {"n": "x"}}])
    assert state.is_failed()
    assert "Not started: the orchestrator refused it: " in (state.message or "")
    assert "Validation failed for field 'n'" in (state.message or "")
