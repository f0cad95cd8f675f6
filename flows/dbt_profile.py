"""The profiles.yml of a run: made in the run's private folder, gone with it."""

from pathlib import Path
from typing import Any

import yaml

from private_folder import write_private
from task_failed import TaskFailed
from warehouse import Warehouse

TARGET = "default"


def write_profile(folder: Path, name: str, warehouse: Warehouse, *targets: str) -> None:
    """Write `profiles.yml` to `folder` for the profile `name`, with the target "default" and, the same, `targets`."""
    if not warehouse.schema:
        raise TaskFailed("the warehouse's Secret block lacks 'default_schema'")
    output = warehouse.output(folder)
    profile = {"target": TARGET, "outputs": {target: output for target in (TARGET, *targets)}}
    write_yaml(folder, {name: profile})


def write_yaml(folder: Path, profiles: dict[str, Any]) -> None:
    """Write `profiles` to `folder`/profiles.yml, in a way that dbt reads every text as it stands."""
    write_private(folder / "profiles.yml", yaml.dump(_verbatim(profiles), Dumper=_NoAliases))


def profile_name(project_dir: str) -> str:
    """The profile that the dbt project asks for. Raises TaskFailed where there is no such project."""
    path = Path(project_dir, "dbt_project.yml")
    try:
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TaskFailed(f"there is no dbt project in {project_dir}") from None
    except (OSError, ValueError, yaml.YAMLError):
        raise TaskFailed(f"{path} cannot be read") from None
    name = project.get("profile") if isinstance(project, dict) else None
    if not isinstance(name, str) or not name:
        raise TaskFailed(f"{path} names no profile")
    return name


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _verbatim(value: Any) -> Any:
    """dbt renders each text of a profile as a template: what looks like one (a password may) becomes a literal."""
    if isinstance(value, dict):
        return {key: _verbatim(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_verbatim(inner) for inner in value]
    if isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#")):
        return '{{ "' + "".join(char if char.isalnum() else f"\\U{ord(char):08x}" for char in value) + '" }}'
    return value
