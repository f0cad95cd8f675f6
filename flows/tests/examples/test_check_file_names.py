"""The example that checks the names of files."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter
from prefect.client.schemas.objects import Artifact, State

from examples.check_file_names import check_file_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that are right and three that are wrong, one of each in a folder below."""
    (tmp_path / "sub.dir").mkdir()
    for name in ("one.md", "Two.md", "three.md.txt", "sub.dir/four.md", "sub.dir/5.MD"):
        (tmp_path / name).touch()
    return tmp_path


def check(folder: Path, pattern: str = r"[a-z]+\.md", **options: bool) -> State:
    return check_file_names(str(folder), pattern, **options, return_state=True)


def artifact(client: SyncPrefectClient, state: State) -> Artifact:
    mine = ArtifactFilter.model_validate({"flow_run_id": {"any_": [state.state_details.flow_run_id]}})
    [found] = client.read_artifacts(artifact_filter=mine)
    return found


def rows(client: SyncPrefectClient, state: State) -> list[dict[str, Any]]:
    found = artifact(client, state)
    assert (found.key, found.type) == ("file-names", "table")
    return json.loads(found.data)


def test_wrong_names_fail_the_run_and_are_a_table(client: SyncPrefectClient, folder: Path) -> None:
    state = check(folder)
    assert state.is_failed()
    assert state.message == "3 files checked, 2 with a wrong name: Two.md, three.md.txt"
    why = r"the name does not match [a-z]+\.md"
    assert rows(client, state) == [{"file": "Two.md", "why": why}, {"file": "three.md.txt", "why": why}]
    assert artifact(client, state).description == f"3 files checked, 2 with a wrong name, in {folder}"


def test_folders_below_count_where_that_is_asked_for(client: SyncPrefectClient, folder: Path) -> None:
    (folder / "link").symlink_to(folder)
    state = check(folder, recursive=True)
    assert [row["file"] for row in rows(client, state)] == ["Two.md", "sub.dir/5.MD", "three.md.txt"]
    assert (state.message or "").startswith("5 files checked, 3 with a wrong name")


def test_wrong_names_may_be_a_warning(client: SyncPrefectClient, folder: Path, logged: list[str]) -> None:
    state = check(folder, fail_if_wrong=False)
    assert state.is_completed()
    assert len(rows(client, state)) == 2
    assert state.message in logged


def test_right_names_and_the_files_that_come_with_the_example(client: SyncPrefectClient, folder: Path) -> None:
    for state, message in (
        (check(folder, r".*"), "3 files checked, 0 with a wrong name"),
        (check_file_names(return_state=True), "3 files checked, 0 with a wrong name"),
    ):
        assert (state.is_completed(), state.message, rows(client, state)) == (True, message, [])


def test_many_wrong_names_are_counted_and_cut(client: SyncPrefectClient, tmp_path: Path) -> None:
    for number in range(1003):
        (tmp_path / f"{number:04}").touch()
    state = check(tmp_path)
    assert state.message == "1003 files checked, 1003 with a wrong name: 0000, 0001, 0002, 0003, 0004, ..."
    assert len(rows(client, state)) == 1000
    assert (artifact(client, state).description or "").endswith("; the first 1000 are listed")


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_name_that_is_no_text(client: SyncPrefectClient, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).touch()
    assert [row["file"] for row in rows(client, check(tmp_path))] == [r"\udcff.md"]


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [("none", "x", "folder is not there: "), ("", "[", "pattern is not a regular expression: ")],
)
def test_what_makes_no_sense_fails_the_run(tmp_path: Path, name: str, pattern: str, message: str) -> None:
    state = check(tmp_path / name, pattern)
    assert state.is_failed()
    assert (state.message or "").startswith(message)
