"""A Prefect server of its own for the tests, in a folder of its own."""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

# Before Prefect is imported: its settings are read once.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from prefect.testing.utilities import prefect_test_harness

from postgres import Postgres, find_postgres, run_postgres


@pytest.fixture(scope="session", autouse=True)
def orchestrator() -> Iterator[None]:
    """The server that every test of the session talks to."""
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def client(orchestrator: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the session's own."""
    programs = find_postgres()
    if programs is None:
        _lacking("PostgreSQL's initdb")
    with run_postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def real_dbt() -> str:
    """A dbt with dbt-postgres: the one FLOWS_DBT says, else beside this Python, else on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which(os.environ.get("FLOWS_DBT") or "dbt", path=path)
    if found is None:
        _lacking("dbt")
    return found


def _lacking(what: str) -> NoReturn:
    """Skip on a developer's machine, fail in CI."""
    message = f"{what} is not installed: see flows/README.md"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What the runs of this process log, from debug upwards."""
    messages: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("prefect")
    children = [logger, logging.getLogger("prefect.flow_runs")]
    for child in children:
        child.addHandler(handler)
    yield messages
    for child in children:
        child.removeHandler(handler)


def subflows(client: SyncPrefectClient, state: State, depth: int = 1) -> list[tuple[str, str]]:
    """(name, state) of the subflows of a run at `depth`, by start."""
    runs, ids = [], [state.state_details.flow_run_id]
    for _ in range(depth):
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id={"any_": ids}))
        ids = [run.id for run in runs]
    return [(run.name, run.state_name) for run in sorted(runs, key=lambda run: run.start_time)]


@contextmanager
def flow_run(config: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The pipeline in a process of its own, as a worker runs it."""
    script = "import json, sys; from pipeline import *; deployment_schedule_flow_v5(json.loads(sys.argv[1]))"
    prefect = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_HOME": str(PREFECT_HOME.value())}
    process = subprocess.Popen(
        [sys.executable, "-c", script, config],
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, **prefect, **env},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def shell_task(tmp_path: Any, *commands: str, slug: str = "work", seq: float = 1, **env: Any) -> dict[str, Any]:
    """One task as hosts write it."""
    return {
        "type": "Shell Operation",
        "slug": slug,
        "commands": list(commands),
        "working_dir": str(tmp_path),
        "env": {"shell": "/bin/bash", **env},
        "seq": seq,
    }
