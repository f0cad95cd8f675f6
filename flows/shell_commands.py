"""Runs a task's commands in one shell and hands on their output line by line (POSIX only)."""

import os
import shlex
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from private_folder import private_folder, write_private
from process_group import process_group, read_lines
from redaction import masker
from task_failed import CommandFailed, TaskFailed

DEFAULT_SHELL = "/bin/bash"
# Enough for what a host shows; a chatty command must not fill the worker's memory.
MAX_RESULT_LINES = 10_000
MAX_COMMAND_SHOWN = 500
# The orchestrator's keys are the worker's own: a command that prints its environment must not show them. PYTHONPATH leads
# to this folder (Prefect 3.8.8's runner sets it), where dbt would import every module whose name begins with dbt_.
WITHHELD = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PYTHONPATH")


def run_commands(
    commands: list[str],
    working_dir: str,
    env: dict[str, Any],
    log: Callable[[str], None],
    *,
    secrets: Iterable[str] = (),
    shown: list[str] | None = None,
) -> list[str]:
    """Run `commands` in `working_dir`, stopping at the first that fails; return the (last) lines of stdout.

    They share one shell: a `cd` or a variable of one holds for the next. `env["shell"]` names the shell, the other
    entries join the process environment. Nothing that the commands started outlives this call. `secrets` are masked
    in what is logged, returned and raised; `shown` is what to call the commands in a failure. Raises TaskFailed.
    """
    if not Path(working_dir).is_dir():
        raise TaskFailed(f"working_dir is not a directory: {working_dir}")
    shell = _find_shell(str(env.get("shell") or DEFAULT_SHELL), log)
    mask = masker(secrets)
    kept: deque[str] = deque(maxlen=MAX_RESULT_LINES)

    def on_line(stream: str, line: str) -> None:
        line = mask(line)
        if stream == "stdout":
            kept.append(line)
        log(line)

    # A file, because argv is open to every user of the machine.
    with private_folder() as folder:
        script, step = folder / "commands.sh", folder / "step"
        write_private(script, _script(commands, step))
        with process_group([shell, str(script)], cwd=working_dir, env=_environment(env)) as process:
            read_lines(process, on_line)
            status = process.wait()
        if status != 0:
            message = _failure([mask(text) for text in shown or commands], step, status)
            raise CommandFailed(message, status, list(kept))
    return list(kept)


def find_program(name: str) -> str:
    """The worker's own `name`: the one FLOWS_<NAME> says, else beside its Python, else on its PATH. Or TaskFailed."""
    variable = f"FLOWS_{name.upper()}"
    # Not resolved: in a virtual environment it is the link's folder that holds the programs.
    beside = Path(sys.executable).parent
    found = shutil.which(os.environ.get(variable) or name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise TaskFailed(f"this worker has no {name}: install it beside its Python or name it in {variable}")
    return found


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
    shown = commands[number - 1]
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
