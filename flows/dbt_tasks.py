"""Tasks of the type "dbt Core Operation": the worker's own dbt, with a profile made from the warehouse's Secret."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from dbt_profile import profile_name, write_profile
from private_folder import private_folder
from shell_commands import find_program, run_commands
from task_failed import TaskFailed
from warehouse import SECRET_BLOCK, load_warehouse


def run_dbt(task: dict[str, Any], log: Callable[[str], None]) -> list[str]:
    """Run the commands of a dbt task; return the (last) lines of stdout.

    The profile is not written to the task's `profiles_dir`: that is shared by the runs of a project, and may be under
    version control. Raises CommandFailed where a command of dbt fails, TaskFailed where it can't be run.
    """
    # Where it is relative, then to the working directory.
    project_dir = str(Path(task.get("working_dir") or "", task["project_dir"]))
    name = profile_name(project_dir)
    warehouse = load_warehouse(task.get("env"))
    dbt = find_program("dbt")
    env = {key: value for key, value in (task.get("env") or {}).items() if key not in ("shell", SECRET_BLOCK)}
    with private_folder() as folder:
        write_profile(folder, name, warehouse)
        return run_commands(
            [dbt_command(dbt, text, folder, project_dir, task.get("cli_args") or []) for text in task["commands"]],
            task.get("working_dir") or project_dir,
            env,
            log,
            secrets=warehouse.secrets(),
            shown=task["commands"],
        )


def dbt_command(dbt: str, text: str, profiles_dir: Path, project_dir: str, more: Sequence[Any] = ()) -> str:
    """`text` ("/any/path/dbt run --select a") as a command for the worker's own dbt, with its two folders."""
    try:
        program, *arguments = shlex.split(text)
    except ValueError:
        raise TaskFailed(f"not a command of dbt: {text}") from None
    if PurePath(program).name != "dbt":
        raise TaskFailed(f"not a command of dbt: {text}")
    folders = ["--profiles-dir", str(profiles_dir), "--project-dir", project_dir]
    return shlex.join([dbt, *arguments, *map(str, more), *folders])
