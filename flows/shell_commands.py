"""Runs a task's commands in one shell and hands on their output line by line (POSIX only)."""

import os
import re
import shlex
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from process_group import process_group, read_lines

DEFAULT_SHELL = "/bin/bash"
# Enough for what a host shows; a chatty command must not fill the worker's memory.
MAX_RESULT_LINES = 10_000
MAX_COMMAND_SHOWN = 500
# The orchestrator's keys are the worker's own: a command that prints its environment must not show them.
WITHHELD = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")


class TaskFailed(Exception):
    """A task did not succeed; the message is for the host's users and holds no secret."""


def run_commands(commands: list[str], working_dir: str, env: dict[str, Any], log: Callable[[str], None]) -> list[str]:
    """Run `commands` in `working_dir`, stopping at the first that fails; return the (last) lines of stdout.

    They share one shell: a `cd` or a variable of one holds for the next. `env["shell"]` names the shell, the other
    entries join the process environment. Nothing that the commands started outlives this call.
    """
    if not Path(working_dir).is_dir():
        raise TaskFailed(f"working_dir is not a directory: {working_dir}")
    shell = _find_shell(str(env.get("shell") or DEFAULT_SHELL), log)
    kept: deque[str] = deque(maxlen=MAX_RESULT_LINES)

    def on_line(stream: str, line: str) -> None:
        if stream == "stdout":
            kept.append(line)
        log(without_credentials(line))

    # A file, because argv is open to every user of the machine. The folder is readable by this user only.
    with tempfile.TemporaryDirectory(prefix="task-") as folder:
        script, step = Path(folder, "commands.sh"), Path(folder, "step")
        script.write_text(_script(commands, step), encoding="utf-8", errors="surrogatepass")
        with process_group([shell, str(script)], cwd=working_dir, env=_environment(env)) as process:
            read_lines(process, on_line)
            status = process.wait()
        if status != 0:
            raise TaskFailed(_failure(commands, step, status))
    return list(kept)


def without_credentials(text: str) -> str:
    """Hide `user:password@` in the URLs of a text, as commands and git's own messages carry them."""
    return re.sub(r"(?<=://)[^/\s@'\"]+@", "***@", text)


def _script(commands: list[str], step: Path) -> str:
    # `set -e` would change what a command means; and the checks are lines of their own because a command may end in
    # a comment or span several lines. `>|` works also after `set -C`.
    mark = shlex.quote(str(step))
    lines = [
        f"echo {number} >|{mark}\n{command}\n_status=$?; [ $_status -eq 0 ] || exit $_status\n"
        for number, command in enumerate(commands, start=1)
    ]
    return "".join(lines)


def _failure(commands: list[str], step: Path, status: int) -> str:
    outcome = f"exited with {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"
    if not step.is_file():
        return f"the shell {outcome} before the first command"
    number = int(step.read_text() or 1)
    shown = without_credentials(commands[number - 1])
    if len(shown) > MAX_COMMAND_SHOWN:
        shown = shown[:MAX_COMMAND_SHOWN] + "..."
    return f"command {number} of {len(commands)} {outcome}: {shown}"


def _find_shell(shell: str, log: Callable[[str], None]) -> str:
    found = shutil.which(shell)
    if found is None:
        log(f"shell {shell} not found, using sh")
    return found or "sh"


def _environment(env: dict[str, Any]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    given = {name: str(value) for name, value in env.items() if name != "shell" and value is not None}
    # Python programs (dbt) hold back lines when stdout is a pipe, and the logs would come in blocks.
    return {"PYTHONUNBUFFERED": "1", **inherited, **given}
