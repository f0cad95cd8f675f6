"""Configurations that are refused before anything runs."""

from typing import Any

import pytest
from conftest import shell_task

from task_config import ordered_tasks


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "'tasks' must be a list"),
        ({"tasks": {"seq": 1}}, "'tasks' must be a list"),
        ({"tasks": ["git pull"]}, "tasks[0]: must be an object"),
    ],
)
def test_tasks_must_be_a_list_of_objects(config: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError) as caught:
        ordered_tasks(config)
    assert str(caught.value) == f"config is not valid: {fault}"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"type": None}, "'type' must be a non-empty text"),
        ({"type": "Shell"}, "unknown type 'Shell'"),
        ({"slug": " "}, "'slug' must be a non-empty text"),
        ({"seq": None}, "'seq' must be a number"),
        ({"seq": "1"}, "'seq' must be a number"),
        ({"seq": True}, "'seq' must be a number"),
        ({"commands": "git pull"}, "'commands' must be a list of texts"),
        ({"commands": [["git", "pull"]]}, "'commands' must be a list of texts"),
        ({"working_dir": None}, "'working_dir' must be a non-empty text"),
        ({"env": ["A=s3cret"]}, "'env' must be an object"),
        ({"env": {"A=s3cret": ""}}, "'env' has a name that no environment variable can have"),
    ],
)
def test_a_fault_is_named_by_place_and_not_by_value(change: dict[str, Any], fault: str) -> None:
    good = shell_task("/")
    with pytest.raises(ValueError) as caught:
        ordered_tasks({"tasks": [good, {**good, **change}]})
    assert f"config is not valid: tasks[1]: {fault}" in str(caught.value)
    assert "s3cret" not in str(caught.value)


DBT = {"type": "dbt Core Operation", "slug": "dbt-run", "seq": 1, "commands": ["dbt run"], "project_dir": "/p"}
AIRBYTE = {"type": "Airbyte Connection", "slug": "airbyte-sync", "seq": 1, "connection_id": "c"}


@pytest.mark.parametrize(
    ("task", "change", "fault"),
    [
        (DBT, {"project_dir": ""}, "'project_dir' must be a non-empty text"),
        (DBT, {"commands": None}, "'commands' must be a list of texts"),
        (DBT, {"cli_args": "--debug"}, "'cli_args' must be a list"),
        (AIRBYTE, {"slug": "airbyte-rest"}, "unknown slug 'airbyte-rest'"),
        (AIRBYTE, {"connection_id": None}, "'connection_id' must be a non-empty text"),
        (AIRBYTE, {"timeout": "15"}, "'timeout' must be a number of seconds"),
        (AIRBYTE, {"streams": [{"streamNamespace": "n"}]}, "'streams' must be a list of objects with a 'streamName'"),
        (AIRBYTE, {"catalog_diff": []}, "'catalog_diff' must be an object"),
    ],
)
def test_faults_of_dbt_and_airbyte_tasks(task: dict[str, Any], change: dict[str, Any], fault: str) -> None:
    assert ordered_tasks({"tasks": [task]}) == [task]
    with pytest.raises(ValueError) as caught:
        ordered_tasks({"tasks": [{**task, **change}]})
    assert str(caught.value).startswith(f"config is not valid: tasks[0]: {fault}")


def test_every_fault_is_named() -> None:
    with pytest.raises(ValueError, match=r"tasks\[0\]: 'type' .*; tasks\[0\]: 'slug' .*; tasks\[1\]: 'seq' "):
        ordered_tasks({"tasks": [{"seq": 1}, {**shell_task("/"), "seq": None}]})


def test_env_may_be_absent_and_equal_seqs_keep_their_order() -> None:
    tasks = [shell_task("/", slug="b", seq=2), shell_task("/", slug="c", seq=2), shell_task("/", slug="a", seq=0.5)]
    del tasks[0]["env"]
    tasks[1]["env"] = None
    assert [task["slug"] for task in ordered_tasks({"tasks": tasks})] == ["a", "b", "c"]
