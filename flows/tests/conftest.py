"""A Prefect server of its own for the tests, in a folder of its own."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

# Before Prefect is imported: its settings are read once.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session", autouse=True)
def orchestrator() -> Iterator[None]:
    """The server that every test of the session talks to."""
    with prefect_test_harness(server_startup_timeout=60):
        yield


@pytest.fixture
def client(orchestrator: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


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
