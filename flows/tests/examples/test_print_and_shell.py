"""The examples that print a message and that run a shell command."""

from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from examples.print_message import print_message
from examples.run_shell_command import run_shell_command


def test_a_message_is_printed_to_the_logs(logged: list[str]) -> None:
    assert print_message("Grüße, 100 %s {x}", return_state=True).is_completed()
    assert "Grüße, 100 %s {x}" in logged


def test_the_output_of_a_command_is_in_the_logs(client: SyncPrefectClient, logged: list[str], tmp_path: Path) -> None:
    command = 'pwd; printf "%s\\n" "$2" "$1"; echo careful >&2'
    state = run_shell_command(command, ["a b", "größe"], str(tmp_path), return_state=True)
    assert state.result() == [str(tmp_path.resolve()), "größe", "a b"]
    assert {str(tmp_path.resolve()), "größe", "a b", "careful"} <= set(logged)
    mine = ArtifactFilter.model_validate({"flow_run_id": {"any_": [state.state_details.flow_run_id]}})
    [artifact] = client.read_artifacts(artifact_filter=mine)
    assert artifact.data["tasks"][0]["result"] == [str(tmp_path.resolve()), "größe", "a b"]


def test_an_argument_is_never_a_part_of_the_program(tmp_path: Path) -> None:
    hostile = [
        '"; touch hacked; "', "'; touch hacked; '", "$(touch hacked)", "`touch hacked`", "a & touch hacked",
        "a\ntouch hacked\n", "| touch hacked", "-n", "$HOME *", "\\", "",
    ]  # fmt: skip
    state = run_shell_command('printf "%s\\0" "$@" > seen', hostile, str(tmp_path), return_state=True)
    assert state.is_completed()
    assert (tmp_path / "seen").read_bytes().decode().split("\0")[:-1] == hostile
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


def test_a_command_that_fails_fails_the_run(logged: list[str]) -> None:
    state = run_shell_command('echo on; exit "$1"', ["3"], return_state=True)
    assert (state.type.value, state.message) == ("FAILED", 'command 1 of 1 exited with 3: echo on; exit "$1"')
    assert {"on", state.message} <= set(logged)


def test_a_folder_that_is_not_there_fails_the_run(tmp_path: Path) -> None:
    state = run_shell_command("true", working_dir=str(tmp_path / "none"), return_state=True)
    assert (state.is_failed(), state.message) == (True, f"working_dir is not a directory: {tmp_path / 'none'}")


def test_nothing_is_pickled(client: SyncPrefectClient) -> None:
    storage = PREFECT_LOCAL_STORAGE_PATH.value()
    before = set(storage.rglob("*"))
    for command in ("echo x", "false"):
        state = run_shell_command(command, return_state=True)
        assert client.read_flow_run(state.state_details.flow_run_id).state.data is None
    assert set(storage.rglob("*")) == before
