"""What a run's tasks came to, as an artifact: the way to read it by REST (see README.md)."""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

KEY = "task-results"
TYPE = "result"
# Characters of output that are kept of one task: of a pipeline's, to see how it ended (its logs hold the rest); of a
# synchronous run's, all that its caller may want to read.
PIPELINE_OUTPUT = 20_000
SYNC_RUN_OUTPUT = 1_000_000


def task_result(task: dict[str, Any], state: State, result: Any) -> dict[str, Any]:
    """One task's entry of the artifact."""
    return {
        "seq": task["seq"],
        "type": task["type"],
        "slug": task["slug"],
        "state_type": state.type.value,
        "state_name": state.name,
        "message": state.message,
        "result": result,
    }


def bounded(result: Any, characters: int) -> Any:
    """`result`, where it is lines only the last ones, of `characters` together at most."""
    if not isinstance(result, list):
        return result
    kept: list[str] = []
    for line in reversed(result):
        characters -= len(line) + 1
        if characters < 0:
            break
        kept.append(line)
    return kept[::-1]


def store_results(results: list[dict[str, Any]]) -> None:
    """Keep `results` as an artifact of the present flow run. `POST /artifacts/`; a failure is logged and no more."""
    context = FlowRunContext.get()
    run_id: UUID | None = context.flow_run.id if context and context.flow_run else None
    artifact = ArtifactCreate(key=KEY, type=TYPE, data={"tasks": results}, flow_run_id=run_id)
    try:
        with get_client(sync_client=True) as client:
            client.create_artifact(artifact)
    except Exception as error:  # the tasks are done, whatever becomes of this
        get_run_logger().warning("The results could not be stored: %s", type(error).__name__)
