"""deployments.json is what `prefect deploy` would store for the examples."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

FLOWS = Path(__file__).resolve().parents[2]
DEPLOYMENTS: list[dict[str, Any]] = json.loads((FLOWS / "examples" / "deployments.json").read_text())


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["flow_name"])
@pytest.mark.parametrize("working_dir", [FLOWS, FLOWS.parent], ids=["flows", "clone"])
def test_it_is_true(monkeypatch: pytest.MonkeyPatch, deployment: dict[str, Any], working_dir: Path) -> None:
    monkeypatch.chdir(working_dir)
    flow = load_flow_from_entrypoint(str(FLOWS.relative_to(working_dir) / deployment["entrypoint"]))
    assert deployment == {
        "flow_name": flow.name,
        "name": "example",
        "entrypoint": deployment["entrypoint"],
        "description": flow.description,
        "parameters": deployment["parameters"],
        "parameter_openapi_schema": parameter_schema(flow).model_dump(),
    }
    flow.validate_parameters(deployment["parameters"])


def test_no_example_is_left_out() -> None:
    files = {f"examples/{path.name}" for path in (FLOWS / "examples").glob("*.py")}
    assert {one["entrypoint"].split(":")[0] for one in DEPLOYMENTS} == files


def test_those_that_are_run_together_are_there() -> None:
    names = {f"{one['flow_name']}/{one['name']}" for one in DEPLOYMENTS}
    [together] = [one for one in DEPLOYMENTS if one["flow_name"] == "run-deployments"]
    assert {run["deployment"] for run in together["parameters"]["runs"]} <= names
