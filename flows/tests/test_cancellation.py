"""No child outlives its task: not after its end, and not after the end of the flow's own process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import shell_task, wait_until
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from shell_commands import run_commands

FLOWS = Path(__file__).resolve().parents[1]
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
    script = "import json, sys; from pipeline import *; deployment_schedule_flow_v5(json.loads(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, config],
        cwd=FLOWS,
        env={**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_HOME": str(PREFECT_HOME.value())},
        stderr=subprocess.DEVNULL,
    )
    children = [tmp_path / "background", tmp_path / "deaf"]
    try:
        assert wait_until(lambda: all(child.exists() and child.read_text() for child in children), 30)
        assert all(map(alive, children))
        process.send_signal(sign)
        assert wait_until(lambda: not any(map(alive, children)), 15)
    finally:
        process.kill()
        process.wait()


def test_a_background_child_ends_with_its_task(tmp_path: Path) -> None:
    started = time.monotonic()
    run_commands(["sleep 300 & echo $! > background"], str(tmp_path), {}, print)
    assert not alive(tmp_path / "background")
    assert time.monotonic() - started < 5
