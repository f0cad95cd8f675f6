"""The task `generate-edr`: elementary's report of a dbt project, sent to S3 by the worker's own edr."""

import os
import re
import shlex
from collections.abc import Callable
from datetime import date
from pathlib import Path, PurePath
from typing import Any

import yaml

from dbt_profile import TARGET, profile_name, write_profile, write_yaml
from dbt_tasks import dbt_command
from private_folder import private_folder
from secret_blocks import read_secret_object
from shell_commands import find_program, run_commands
from task_failed import TaskFailed
from warehouse import SECRET_BLOCK, Warehouse, load_warehouse

S3_BLOCK = "edr-s3-creds"
S3_KEYS = ("aws_access_key_id", "aws_secret_access_key", "s3_bucket")
# Projects switch elementary on for this target only, and without it the macro knows no schema.
MACRO_TARGET = "prod"
MACRO = f"dbt run-operation elementary.generate_elementary_cli_profile --target {MACRO_TARGET} --no-use-colors"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run_edr(task: dict[str, Any], log: Callable[[str], None]) -> list[str]:
    """Make elementary's profile, then run the commands of the task with it; return the (last) lines of stdout.

    `TODAYS_DATE` in a command becomes the date. Raises TaskFailed.
    """
    project_dir = task["working_dir"]
    name = profile_name(project_dir)
    warehouse = load_warehouse(task.get("env"))
    store = read_secret_object(S3_BLOCK, *S3_KEYS)
    dbt, edr = find_program("dbt"), find_program("edr")
    secrets = [*warehouse.secrets(), *(str(store[key]) for key in S3_KEYS[:2])]
    with private_folder() as folder:
        schema = _elementary_schema(dbt, name, warehouse, folder, project_dir, log)
        reports = folder / "elementary"
        reports.mkdir(mode=0o700)
        output = {**warehouse.output(folder), "schema": schema}
        write_yaml(reports, {"elementary": {"target": TARGET, "outputs": {TARGET: output}}})
        env = {key: value for key, value in (task.get("env") or {}).items() if key != SECRET_BLOCK}
        env["AWS_ACCESS_KEY_ID"] = store["aws_access_key_id"]
        env["AWS_SECRET_ACCESS_KEY"] = store["aws_secret_access_key"]
        # edr runs dbt by its bare name.
        env["PATH"] = os.pathsep.join([os.path.dirname(dbt), os.environ.get("PATH", os.defpath)])
        commands = [_edr_command(edr, text, reports, store["s3_bucket"]) for text in task["commands"]]
        return run_commands(commands, project_dir, env, log, secrets=secrets, shown=task["commands"])


def _edr_command(edr: str, text: str, profiles_dir: Path, bucket: str) -> str:
    try:
        program, *arguments = shlex.split(text.replace("TODAYS_DATE", date.today().isoformat()))
    except ValueError:
        raise TaskFailed(f"not a command of edr: {text}") from None
    if PurePath(program).name != "edr":
        raise TaskFailed(f"not a command of edr: {text}")
    # Of an option that is given twice edr takes the last.
    return shlex.join([edr, *arguments, "--profiles-dir", str(profiles_dir), "--s3-bucket-name", bucket])


def _elementary_schema(
    dbt: str, name: str, warehouse: Warehouse, folder: Path, project_dir: str, log: Callable[[str], None]
) -> str:
    """Where elementary keeps its tables: dbt's rules for schemas say so, so dbt is asked."""
    profiles = folder / "dbt"
    profiles.mkdir(mode=0o700)
    write_profile(profiles, name, warehouse, MACRO_TARGET)
    commands = [dbt_command(dbt, text, profiles, project_dir) for text in ("dbt deps", MACRO)]
    lines = run_commands(commands, project_dir, {}, log, secrets=warehouse.secrets(), shown=["dbt deps", MACRO])
    schema = _schema_in([ANSI.sub("", line) for line in lines])
    if not schema:
        raise TaskFailed("elementary names no schema: is its dbt package in packages.yml, and models.elementary set?")
    return schema


def _schema_in(lines: list[str]) -> str | None:
    """The schema in the profile that the macro prints between dbt's own lines."""
    if "elementary:" not in lines:
        return None
    start = lines.index("elementary:")
    block = [lines[start]]
    for line in lines[start + 1 :]:
        if line and not line[0].isspace():
            break
        block.append(line)
    try:
        outputs = yaml.safe_load("\n".join(block))["elementary"]["outputs"]
        output = next(iter(outputs.values()))
        return output.get("schema") or output.get("dataset")
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, StopIteration):
        return None
