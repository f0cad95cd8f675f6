"""The report of elementary: what its programs are given."""

import json
import shlex
from datetime import date
from pathlib import Path

import pytest
import yaml
from blocks import save_secret
from conftest import shell_task

from edr_tasks import run_edr
from task_failed import TaskFailed

# What dbt prints for the macro: its own lines, and a profile between them.
DBT = """#!/bin/sh
echo "$*" >> {notes}/dbt-calls
while [ "$1" != --profiles-dir ]; do shift; done
cp "$2/profiles.yml" {notes}/dbt.yml
printf '\\033[0m10:00:00  Running with dbt\\n{profile}10:00:01  Done\\n'
"""
PROFILE = "elementary:\\n  outputs:\\n    default:\\n      type: postgres\\n      schema: {schema}\\n\\n"
EDR = """#!/bin/sh
printf '%s\\n' "$@" > {notes}/edr-calls
for argument; do
    if [ "$previous" = --profiles-dir ]; then profiles=$argument; fi
    previous=$argument
done
cp "$profiles/profiles.yml" {notes}/edr.yml
echo "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY"
command -v dbt
"""
COMMAND = "edr send-report --bucket-file-path reports/org.TODAYS_DATE.html --profiles-dir elementary_profiles"


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, schema: str) -> None:
    folder.mkdir()
    programs = {"dbt": DBT, "edr": EDR}
    for name, text in programs.items():
        path = folder / name
        path.write_text(text.format(notes=shlex.quote(str(folder)), profile=PROFILE.format(schema=schema)))
        path.chmod(0o755)
        monkeypatch.setenv(f"FLOWS_{name.upper()}", str(path))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("profile: shop")
    creds = {"host": "db", "user": "me", "password": "s3cret-pw"}
    save_secret("edr-warehouse", json.dumps({"wtype": "postgres", "default_schema": "analytics", "creds": creds}))
    keys = {"aws_access_key_id": "AKIA-s3cret", "aws_secret_access_key": "s3cret-aws", "s3_bucket": "reports-bucket"}
    save_secret("edr-s3-creds", keys)
    return folder


def test_the_report_is_made_with_elementarys_own_schema(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    install(monkeypatch, programs, "analytics_elementary")
    task = shell_task(project, COMMAND, slug="generate-edr", **{"dbt-profile-secret-block": "edr-warehouse"})
    log: list[str] = []
    lines = run_edr(task, log.append)

    dbt = (programs / "dbt-calls").read_text().splitlines()
    assert [line.split(" --profiles-dir ")[0] for line in dbt if line.startswith(("deps", "run-operation"))] == [
        "deps",
        "run-operation elementary.generate_elementary_cli_profile --target prod --no-use-colors",
    ]
    outputs = yaml.safe_load((programs / "dbt.yml").read_text())["shop"]["outputs"]
    assert outputs["prod"] == outputs["default"]
    assert outputs["prod"]["schema"] == "analytics"

    given = (programs / "edr-calls").read_text()
    assert f"reports/org.{date.today().isoformat()}.html" in given
    assert given.endswith("--s3-bucket-name\nreports-bucket\n")
    assert "s3cret" not in given
    profile = yaml.safe_load((programs / "edr.yml").read_text())["elementary"]
    output = profile["outputs"][profile["target"]]
    assert (output["schema"], output["password"]) == ("analytics_elementary", "s3cret-pw")

    assert lines == ["*** ***", str(programs / "dbt")]
    assert "s3cret" not in "\n".join(log)
    assert sorted(path.name for path in project.iterdir()) == ["dbt_project.yml"]


def test_a_project_without_elementary_is_told_so(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path / "programs", "null")
    task = shell_task(project, COMMAND, slug="generate-edr", **{"dbt-profile-secret-block": "edr-warehouse"})
    with pytest.raises(TaskFailed, match="^elementary names no schema: is its dbt package in packages.yml"):
        run_edr(task, print)
