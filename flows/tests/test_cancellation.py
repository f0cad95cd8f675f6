"""No child outlives its task: not after its end, and not after the end of the flow's own process."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from blocks import save_secret
from conftest import flow_run, shell_task, wait_until
from prefect.client.orchestration import SyncPrefectClient

from shell_commands import run_commands

# One child in the foreground, one in the background, and one that won't hear of SIGTERM.
COMMANDS = ["sleep 300 & echo $! > background", "(trap '' TERM; echo $BASHPID > deaf; sleep 300; sleep 300)"]


def alive(pidfile: Path) -> bool:
    pid = int(pidfile.read_text())
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie counts as gone: who reaps it is up to the machine's init, and a bare container has none.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_children_die_with_the_flow_run(client: SyncPrefectClient, tmp_path: Path, sign: signal.Signals) -> None:
    config = json.dumps({"tasks": [shell_task(tmp_path, *COMMANDS)]})
    children = [tmp_path / "background", tmp_path / "deaf"]
    with flow_run(config) as process:
        assert wait_until(lambda: all(child.exists() and child.read_text() for child in children), 30)
        assert all(map(alive, children))
        process.send_signal(sign)
        assert wait_until(lambda: not any(map(alive, children)), 15)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_secrets_on_disk_end_with_the_flow_run(client: SyncPrefectClient, tmp_path: Path, sign: signal.Signals) -> None:
    secret = {"wtype": "postgres", "default_schema": "s", "creds": {"host": "h", "password": "s3cret"}}
    save_secret("cancelled-warehouse", json.dumps(secret))
    (tmp_path / "dbt_project.yml").write_text("profile: p")
    dbt = tmp_path / "dbt"
    dbt.write_text(f"#!/bin/sh\necho $3 > {tmp_path}/note\nmv {tmp_path}/note {tmp_path}/folder\nexec sleep 300\n")
    dbt.chmod(0o755)
    env = {"dbt-profile-secret-block": "cancelled-warehouse"}
    task = {"type": "dbt Core Operation", "slug": "dbt-run", "seq": 1, "commands": ["dbt run"], "env": env}
    config = json.dumps({"tasks": [{**task, "project_dir": str(tmp_path)}]})
    with flow_run(config, FLOWS_DBT=str(dbt)) as process:
        assert wait_until(lambda: (tmp_path / "folder").exists(), 30)
        folder = Path((tmp_path / "folder").read_text().strip())
        assert "s3cret" in (folder / "profiles.yml").read_text()
        process.send_signal(sign)
        assert wait_until(lambda: not folder.exists(), 15)


def test_a_background_child_ends_with_its_task(tmp_path: Path) -> None:
    started = time.monotonic()
    run_commands(["sleep 300 & echo $! > background"], str(tmp_path), {}, print)
    assert not alive(tmp_path / "background")
    assert time.monotonic() - started < 5
