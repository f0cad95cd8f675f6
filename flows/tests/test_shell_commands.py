"""Commands, their environment and their output, without Prefect."""

from pathlib import Path
from typing import Any

import pytest

import shell_commands
from redaction import without_credentials
from shell_commands import run_commands
from task_failed import TaskFailed


def run(tmp_path: Path, *commands: str, **env: Any) -> tuple[list[str], list[str]]:
    """(stdout lines, logged lines)"""
    log: list[str] = []
    return run_commands(list(commands), str(tmp_path), env, log.append), log


def test_commands_share_one_shell_in_the_working_dir(tmp_path: Path) -> None:
    commands = ["mkdir sub && cd sub", "x=1", "echo $x; pwd", "for i in 1 2; do", "echo $i", "done  # both"]
    out, _ = run(tmp_path, *commands)
    assert out == ["1", str(tmp_path / "sub"), "1", "2"]


def test_env_joins_the_process_environment_as_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("PREFECT_API_KEY", "s3cret")
    show = 'echo "$INHERITED $N $FLAG ${UNSET-unset} ${PREFECT_API_KEY-withheld}"'
    assert run(tmp_path, show, N=5, FLAG=True, UNSET=None)[0] == ["yes 5 True unset withheld"]


def test_the_shell_is_chosen_and_sh_stands_in_for_a_missing_one(tmp_path: Path) -> None:
    assert run(tmp_path, "echo ${BASH_VERSION:+bash}", shell="/bin/bash")[0] == ["bash"]
    out, log = run(tmp_path, "echo ok", shell="/no/such/shell")
    assert (out, log) == (["ok"], ["shell /no/such/shell not found, using sh", "ok"])


def test_lines_arrive_while_the_command_runs(tmp_path: Path) -> None:
    log: list[str] = []

    def on_line(line: str) -> None:
        log.append(line)
        (tmp_path / line).touch()

    def awaiting(name: str) -> str:
        return f"for i in $(seq 100); do [ -e {name} ] && break; sleep 0.05; done; [ -e {name} ]"

    commands = ["echo one", awaiting("one"), "echo two >&2", awaiting("two"), "printf three"]
    run_commands(commands, str(tmp_path), {}, on_line)
    assert log == ["one", "two", "three"]


def test_output_is_text_whatever_the_bytes(tmp_path: Path) -> None:
    out, log = run(tmp_path, r"printf 'gr\303'; sleep 0.1; printf '\274n %%s\r\n\n\000\377\n'", "echo ✓ >&2")
    assert out == ["grün %s", "", "\ufffd\ufffd"]
    assert log[-1] == "✓"


def test_long_output_is_kept_within_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shell_commands, "MAX_RESULT_LINES", 3)
    out, log = run(tmp_path, "seq 5000")
    assert (out, len(log)) == (["4998", "4999", "5000"], 5000)
    _, log = run(tmp_path, "head -c 300000 /dev/zero | tr '\\0' x")
    assert len("".join(log)) == 300000
    assert max(map(len, log)) <= 2 * 64 * 1024


@pytest.mark.parametrize("ahead", range(65536 - 3, 65536 + 2))
def test_a_character_is_never_split_between_two_reads_or_two_pieces_of_a_line(tmp_path: Path, ahead: int) -> None:
    # 65,536 bytes are read at a time, and a line of as many characters is handed on in pieces.
    out, _ = run(tmp_path, f"head -c {ahead} /dev/zero | tr '\\0' x; for i in $(seq 20000); do printf '😀'; done")
    assert "".join(out) == "x" * ahead + "😀" * 20000


def test_a_long_command_is_cut_between_two_characters(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as caught:
        run(tmp_path, "false " + "😀" * 900)
    assert str(caught.value).endswith("false " + "😀" * 494 + "...")


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        (["true", "no-such-command x"], "command 2 of 2 exited with 127: no-such-command x"),
        (["exit 3", "true"], "command 1 of 2 exited with 3: exit 3"),
        (["true", "kill -9 $$"], "command 2 of 2 was killed by SIGKILL: kill -9 $$"),
        (["true", "if then"], "command 2 of 2 exited with 2: if then"),
        (["git clone https://u:p@127.0.0.1:1/"], "exited with 128: git clone https://***@127.0.0.1:1/"),
        (["false " + "x" * 900], "command 1 of 1 exited with 1: false " + "x" * 494 + "..."),
    ],
)
@pytest.mark.parametrize("shell", ["/bin/bash", "sh"])
def test_a_failure_names_the_command(tmp_path: Path, shell: str, commands: list[str], message: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        run(tmp_path, *commands, shell=shell)
    assert message in str(caught.value)


def test_within_a_command_only_the_last_status_counts(tmp_path: Path) -> None:
    assert run(tmp_path, "false\necho on", "set -C", "echo end")[0] == ["on", "end"]


def test_no_commands_is_a_success(tmp_path: Path) -> None:
    assert run(tmp_path) == ([], [])


def test_credentials_are_cut_from_urls_only() -> None:
    assert without_credentials("at https://a:b@h/x, ssh git@h:x") == "at https://***@h/x, ssh git@h:x"
