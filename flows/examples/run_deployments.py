"""Several deployments at the same time: their runs are subflows of this one, and it fails if one of them does."""

import asyncio
import json
from typing import Annotated, Any
from uuid import UUID

import httpx
from prefect import flow, get_run_logger
from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Failed
from pydantic import BaseModel, Field

ARTIFACT_KEY = "deployment-runs"
POLL_SECONDS = 2
MAX_RESULT_SHOWN = 500


class DeploymentRun(BaseModel):
    """A deployment to run, by "flow name/deployment name", and the parameters that go over its own."""

    deployment: str = Field(pattern="^[^/]+/[^/]+$")
    parameters: dict[str, Any] = {}


@flow(persist_result=False)
async def run_deployments(
    runs: Annotated[list[DeploymentRun], Field(min_length=1, max_length=100)],
    max_parallel: Annotated[int, Field(ge=1, le=50)] = 5,
    timeout_seconds: Annotated[float, Field(gt=0)] = 600,
) -> list[dict[str, Any]] | State:
    """Run deployments, at most `max_parallel` at once, and gather what they came to as a table artifact.

    All of them are run, whatever becomes of the others; then the run fails if one of them did, was cancelled, or was
    not over `timeout_seconds` after it was asked for (it goes on then). They need workers of their own: a queue that
    takes one run at a time would wait for this very run.
    """
    logger = get_run_logger()
    slots = asyncio.Semaphore(max_parallel)

    async def run_in_turn(run: DeploymentRun) -> dict[str, Any]:
        async with slots:
            outcome = await _outcome(run, timeout_seconds)
        logger.info("%s", f"{run.deployment}: {outcome['state']}")
        return outcome

    outcomes = await asyncio.gather(*(run_in_turn(run) for run in runs))
    bad = [outcome for outcome in outcomes if not outcome["succeeded"]]
    await acreate_table_artifact(
        key=ARTIFACT_KEY,
        table=[_row(outcome) for outcome in outcomes],
        description=f"{len(outcomes)} runs, {len(bad)} of them without success",
    )
    if bad:
        which = "; ".join(f"{outcome['deployment']} ({outcome['state']}: {outcome['message']})" for outcome in bad)
        message = f"{len(bad)} of {len(outcomes)} runs did not succeed: {which}"
        logger.error("%s", message)
        return Failed(message=message)
    return outcomes


async def _outcome(run: DeploymentRun, timeout: float) -> dict[str, Any]:
    """Run one deployment to its end; what became of it, also where it could not be started."""
    try:
        flow_run = await arun_deployment(
            run.deployment, parameters=run.parameters, timeout=timeout, poll_interval=POLL_SECONDS
        )
    except ObjectNotFound:
        return _not_started(run, "there is no such deployment")
    except httpx.HTTPStatusError as error:
        return _not_started(run, f"the orchestrator refused it: {_detail(error.response)}")
    state = flow_run.state
    if state is None or not state.is_final():
        message = f"not over after {timeout:g} s"
    else:
        message = state.message
    return {
        "deployment": run.deployment,
        "flow_run": flow_run.name,
        "flow_run_id": str(flow_run.id),
        "state": state.name if state else "Unknown",
        "succeeded": bool(state and state.is_completed()),
        "message": message,
        "seconds": _seconds(flow_run),
        "results": await _results(flow_run.id),
    }


def _not_started(run: DeploymentRun, message: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("flow_run", "flow_run_id", "seconds"))
    return {
        "deployment": run.deployment, **nothing,
        "state": "Not started", "succeeded": False, "message": message, "results": [],
    }  # fmt: skip


async def _results(flow_run_id: UUID) -> list[Any]:
    """What a run left as artifacts of the type `result`: a returned value stays on its worker."""
    mine = ArtifactFilter.model_validate({"flow_run_id": {"any_": [flow_run_id]}, "type": {"any_": ["result"]}})
    async with get_client() as client:
        return [artifact.data for artifact in await client.read_artifacts(artifact_filter=mine)]


def _row(outcome: dict[str, Any]) -> dict[str, Any]:
    row = {key: outcome[key] for key in ("deployment", "flow_run", "flow_run_id", "state", "message", "seconds")}
    results = outcome["results"]
    return {**row, "results": json.dumps(results, ensure_ascii=False)[:MAX_RESULT_SHOWN] if results else None}


def _seconds(flow_run: FlowRun) -> float | None:
    if flow_run.start_time is None or flow_run.end_time is None:
        return None
    return round((flow_run.end_time - flow_run.start_time).total_seconds(), 1)


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    return str(detail or response.status_code)
