"""dbt tasks: a real dbt on a real PostgreSQL, and a stand-in for dbt where it is about what dbt is given."""

import json
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from blocks import save_secret
from conftest import shell_task
from postgres import PASSWORD, Postgres
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import TaskRunFilter
from prefect.client.schemas.objects import State

from dbt_tasks import run_dbt
from pipeline import deployment_schedule_flow_v5
from task_failed import CommandFailed, TaskFailed

# Writes down what any user sees of it, and what it was given, before it is (or stands in for) dbt.
SPY = """#!/bin/sh
for argument; do
    if [ "$previous" = --profiles-dir ]; then profiles=$argument; fi
    previous=$argument
done
ps -eww -o args >> {notes}/ps
printf '%s\\n' "$*" >> {notes}/arguments
ls -ldn "$profiles" "$profiles"/* >> {notes}/modes
cp "$profiles"/profiles.yml {notes}/profiles.yml
cp "$profiles"/root.pem {notes}/ 2>/dev/null
printf '%s\\n' "$profiles" > {notes}/folder
{then}
"""


class Spied:
    """What the programs of a task were given."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    def text(self, name: str) -> str:
        return (self._notes / name).read_text()

    def output(self) -> dict[str, Any]:
        profile = yaml.safe_load(self.text("profiles.yml"))
        assert list(profile) == ["shop"]
        assert profile["shop"]["target"] == "default"
        return profile["shop"]["outputs"]["default"]

    def folder(self) -> Path:
        return Path(self.text("folder").strip())


@pytest.fixture
def spied(tmp_path: Path) -> Spied:
    notes = tmp_path / "notes"
    notes.mkdir()
    return Spied(notes)


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, then: str) -> None:
    """Make the worker's dbt a program that takes notes, and then does `then`."""
    program = tmp_path / "spy-dbt"
    program.write_text(SPY.format(notes=shlex.quote(str(tmp_path / "notes")), then=then))
    program.chmod(0o755)
    monkeypatch.setenv("FLOWS_DBT", str(program))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A dbt project of two models, with a test that holds and one that does not."""
    folder = tmp_path / "shop project"
    files = {
        "dbt_project.yml": "{name: shop, profile: shop, models: {shop: {+materialized: table}}}",
        "models/orders.sql": "select 1 as id, 10 as amount union all select 2, null",
        "models/totals.sql": "select sum(amount) as total from {{ ref('orders') }}",
        "models/schema.yml": yaml.safe_dump(
            {
                "version": 2,
                "models": [
                    {
                        "name": "orders",
                        "columns": [
                            {"name": "id", "data_tests": ["unique"]},
                            {"name": "amount", "data_tests": ["not_null"]},
                        ],
                    }
                ],
            }
        ),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def dbt_task(project: Path, *commands: str, slug: str = "dbt-run", seq: float = 1, **more: Any) -> dict[str, Any]:
    """One task as hosts write it."""
    return {
        "type": "dbt Core Operation",
        "slug": slug,
        "seq": seq,
        "commands": [f"/home/org/dbt/venv/bin/dbt {command}" for command in commands],
        "env": {"dbt-profile-secret-block": "warehouse"},
        "working_dir": str(project),
        "profiles_dir": f"{project}/profiles/",
        "project_dir": str(project),
        "cli_args": [],
        **more,
    }


def save_warehouse(creds: dict[str, Any], wtype: str = "postgres", extras: dict[str, Any] | None = None) -> None:
    value = {"wtype": wtype, "default_schema": "analytics", "creds": creds, "extras": extras or {}}
    # As the facade stores it: text.
    save_secret("warehouse", json.dumps(value))


def run(*tasks: dict[str, Any]) -> State:
    return deployment_schedule_flow_v5({"tasks": list(tasks)}, return_state=True)


def test_models_are_built_and_failing_tests_do_not_stop_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, client: SyncPrefectClient, postgres: Postgres, real_dbt: str,
    project: Path, spied: Spied, tmp_path: Path, logged: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    stand_in(monkeypatch, tmp_path, f'exec {shlex.quote(real_dbt)} "$@"')
    save_warehouse(postgres.creds)
    state = run(
        dbt_task(project, "run --full-refresh", slug="dbt-run", seq=1),
        dbt_task(project, "test", slug="dbt-test", seq=2),
        shell_task(tmp_path, "touch after", seq=3),
    )
    assert state.is_completed(), state.message
    assert postgres.query("SELECT total FROM analytics.totals") == [(10,)]
    assert (tmp_path / "after").exists()

    # The state as hosts look for it: by the task runs of the pipeline's run.
    run_id = str(state.state_details.flow_run_id)
    runs = client.read_task_runs(task_run_filter=TaskRunFilter(flow_run_id={"any_": [run_id]}))
    by_start = [(run.state_type.value, run.state_name) for run in sorted(runs, key=lambda run: run.start_time)]
    completed = ("COMPLETED", "Completed")
    assert by_start == [completed, ("COMPLETED", "DBT_TEST_FAILED"), completed]
    assert any("PASS=1 WARN=0 ERROR=1" in line for line in logged)

    # The password is with dbt alone.
    assert "s3cret" not in "\n".join([*logged, spied.text("ps"), spied.text("arguments")])
    assert not spied.folder().exists()
    assert not any(b"s3cret" in path.read_bytes() for path in project.rglob("*") if path.is_file())


def test_every_command_names_its_folders_and_the_profile_is_for_this_user_only(
    monkeypatch: pytest.MonkeyPatch, project: Path, spied: Spied, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, f"cat {tmp_path}/notes/profiles.yml; echo {shlex.quote(PASSWORD)} 1>&2")
    save_warehouse(
        {"host": "db", "port": "5432", "user": "me", "password": PASSWORD, "database": "d", "schema": "raw",
         "sslmode": "verify-full", "sslrootcert_content": "PEM", "tunnel_method": {"ssh_key": "s3cret-key"}},
        extras={"threads": 8},
    )  # fmt: skip
    log: list[str] = []
    lines = run_dbt(dbt_task(project, "deps", "run --select 'a b'", cli_args=["--no-use-colors"]), log.append)
    folder = spied.folder()
    where = f"--no-use-colors --profiles-dir {folder} --project-dir {project}"
    assert spied.text("arguments").splitlines() == [f"deps {where}", f"run --select a b {where}"]
    modes = {line.split()[0][:10] for line in spied.text("modes").splitlines()}
    assert modes == {stat.filemode(stat.S_IFDIR | 0o700), stat.filemode(stat.S_IFREG | 0o600)}
    assert spied.text("root.pem") == "PEM"
    output = spied.output()
    assert output.pop("password").startswith('{{ "s3cret')  # a literal: dbt reads profiles as templates
    assert output == {
        "type": "postgres", "schema": "analytics", "threads": 8, "host": "db", "port": 5432, "user": "me",
        "database": "d", "sslmode": "verify-full", "sslrootcert": f"{folder}/root.pem",
    }  # fmt: skip
    assert not folder.exists()
    assert "***" in log
    assert PASSWORD not in "\n".join([*lines, *log])


def test_airbytes_words_for_tls_are_understood(
    monkeypatch: pytest.MonkeyPatch, project: Path, spied: Spied, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "true")
    creds = {"host": "db", "username": "me", "ssl_mode": {"mode": "verify-ca", "ca_certificate": "PEM"}}
    save_warehouse(creds)
    run_dbt(dbt_task(project, "run"), print)
    assert spied.output()["sslmode"] == "verify-ca"
    assert spied.text("root.pem") == "PEM"
    save_warehouse({**creds, "ssl": False})
    run_dbt(dbt_task(project, "run"), print)
    assert spied.output()["sslmode"] == "disable"
    assert "sslrootcert" not in spied.output()


def test_the_profile_for_bigquery(monkeypatch: pytest.MonkeyPatch, project: Path, spied: Spied, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path, "echo line two of the s3cret key")
    key = "BEGIN s3cret key\nline two of the s3cret key\n"
    creds = {"type": "service_account", "project_id": "p1", "private_key": key}
    save_warehouse(creds, "bigquery", {"location": "asia-south1", "priority": "batch"})
    assert run_dbt(dbt_task(project, "run"), print) == ["***"]
    assert spied.output() == {
        "type": "bigquery", "schema": "analytics", "threads": 4, "method": "service-account-json", "project": "p1",
        "keyfile_json": creds, "location": "asia-south1", "priority": "batch",
    }  # fmt: skip


def test_a_failing_command_ends_the_task_and_leaves_no_profile(
    monkeypatch: pytest.MonkeyPatch, project: Path, spied: Spied, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "echo found; exit 2")
    save_warehouse({"host": "db", "password": "s3cret"})
    with pytest.raises(CommandFailed) as caught:
        run_dbt(dbt_task(project, "run", "docs generate"), print)
    assert str(caught.value) == "command 1 of 2 exited with 2: /home/org/dbt/venv/bin/dbt run"
    assert len(spied.text("arguments").splitlines()) == 1
    assert not spied.folder().exists()


@pytest.mark.parametrize(("slug", "then"), [("dbt-run", "exit 1"), ("dbt-test", "kill -9 $$")])
def test_other_failures_fail_the_run(
    monkeypatch: pytest.MonkeyPatch, project: Path, spied: Spied, tmp_path: Path, slug: str, then: str
) -> None:
    stand_in(monkeypatch, tmp_path, then)
    save_warehouse({"host": "db", "password": "s3cret"})
    state = run(dbt_task(project, "anything", slug=slug), shell_task(tmp_path, "touch after", seq=2))
    assert state.is_failed()
    assert (state.message or "").startswith(f"task {slug!r}: command 1 of 1 exited with ")
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize(
    ("change", "secret", "message"),
    [
        ({"project_dir": "/no/such"}, None, "there is no dbt project in /no/such"),
        ({"env": {}}, None, "env must name the warehouse's Secret block under 'dbt-profile-secret-block'"),
        ({}, "s3cret", "the Secret block 'warehouse' must hold a JSON object"),
        ({}, {"wtype": "postgres"}, "the Secret block 'warehouse' lacks 'creds'"),
        ({}, {"wtype": "oracle", "creds": {"a": 1}}, "is for an unknown kind of warehouse: 'oracle'"),
        ({}, {"wtype": "postgres", "creds": {"a": 1}}, "the warehouse's Secret block lacks 'default_schema'"),
        ({"commands": ["rm -r x"]}, None, "not a command of dbt: rm -r x"),
        ({"commands": ["dbt 'run"]}, None, "not a command of dbt: dbt 'run"),
    ],
)
def test_what_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path, spied: Spied,
    change: dict[str, Any], secret: Any, message: str,
) -> None:  # fmt: skip
    stand_in(monkeypatch, tmp_path, "true")
    save_warehouse({"host": "db"})
    if secret:
        save_secret("warehouse", secret)
    with pytest.raises(TaskFailed) as caught:
        run_dbt({**dbt_task(project, "run"), **change}, print)
    assert message in str(caught.value)


def test_a_worker_without_dbt_says_so(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    save_warehouse({"host": "db"})
    monkeypatch.setenv("FLOWS_DBT", "/no/such/dbt")
    with pytest.raises(TaskFailed, match="this worker has no dbt: .* or name it in FLOWS_DBT"):
        run_dbt(dbt_task(project, "run"), print)
