"""The example that lets cmd.exe create a file. Where there is none, a stand-in does what its manual says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from examples import create_text_file as example
from examples.create_text_file import create_text_file

HOSTILE = "a & calc | b > c < d %PATH% !PATH! \"e\" 'f' ^g (h)\nzweite Größe ✓"


@pytest.mark.skipif(sys.platform == "win32", reason="there it is not skipped")
def test_it_is_skipped_elsewhere(client: SyncPrefectClient, tmp_path: Path, logged: list[str]) -> None:
    state = create_text_file(str(tmp_path / "x.txt"), return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "Skipped")
    assert state.message == f"Skipped: cmd.exe is a part of Windows, and this worker runs on {sys.platform}"
    assert state.message in logged
    assert client.read_flow_run(state.state_details.flow_run_id).state_name == "Skipped"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "win32", reason="needs cmd.exe")
def test_cmd_writes_any_text(tmp_path: Path) -> None:
    for text in (HOSTILE, "", "plain"):
        state = create_text_file(str(tmp_path / "a & b.txt"), text, return_state=True)
        assert state.is_completed(), state.message
        assert (tmp_path / "a & b.txt").read_text(encoding="utf-8") == f"{text}\n"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Windows, as far as the flow sees: what it runs is noted, and the file written from the environment."""
    seen: list[tuple[str, dict[str, str]]] = []

    def run(line: str, *, env: dict[str, str], **_: Any) -> SimpleNamespace:
        seen.append((line, env))
        if "broken" in env["TEXT"]:
            return SimpleNamespace(returncode=1, stderr=b"Access is denied.\r\n")
        if "late" in env["TEXT"]:
            raise subprocess.TimeoutExpired("cmd.exe", 30)
        written = "" if "lost" in env["TEXT"] else env["TEXT"]
        Path(env["TEXT_FILE"]).write_bytes(written.encode() + b"\r\n")
        return SimpleNamespace(returncode=0, stderr=b"")

    monkeypatch.setattr(example, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(example, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    return seen


def test_no_value_is_in_the_command_line(calls: list[tuple[str, dict[str, str]]], tmp_path: Path) -> None:
    file = tmp_path / "a & b.txt"
    state = create_text_file(str(file), HOSTILE, return_state=True)
    assert (state.is_completed(), state.message) == (True, f"Created {file}")
    [(line, env)] = calls
    assert line == example.COMMAND_LINE
    assert (env["TEXT"], env["TEXT_FILE"]) == (HOSTILE, str(file))
    assert file.read_text(encoding="utf-8").splitlines() == HOSTILE.splitlines()


# Does what the manual says of the line: sets the code page, and writes the environment's text with a line break.
CMD = r'''#!{python}
import os, sys
[line] = sys.argv[1:]
assert line == '/d /v:on /s /c "chcp 65001 >nul & >"!TEXT_FILE!" echo(!TEXT!"', line
if os.environ["TEXT"] == "refused":
    sys.stderr.buffer.write(b"Zugriff verweigert: \xfc\r\n")
    sys.exit(5)
with open(os.environ["TEXT_FILE"], "wb") as file:
    file.write(os.environ["TEXT"].encode() + b"\r\n")
'''


@pytest.fixture
def cmd_exe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Windows with a cmd.exe on the PATH: a program is found there by the first word of the line, and gets the rest."""
    folder = tmp_path / "system32"
    folder.mkdir()
    program = folder / "cmd.exe"
    program.write_text(CMD.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    real_run = subprocess.run

    def run(line: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        name, rest = line.split(" ", 1)
        return real_run([shutil.which(name) or name, rest], **options)

    monkeypatch.setattr(example, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(example, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    return program


@pytest.mark.skipif(sys.platform == "win32", reason="has a cmd.exe of its own")
def test_the_program_cmd_exe_writes_the_file(cmd_exe: Path, tmp_path: Path) -> None:
    for text in (HOSTILE, "", "plain"):
        file = tmp_path / "a & b.txt"
        state = create_text_file(str(file), text, return_state=True)
        assert (state.is_completed(), state.message) == (True, f"Created {file}")
        assert file.read_text(encoding="utf-8") == f"{text}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has a cmd.exe of its own")
def test_a_cmd_exe_that_refuses_or_is_not_there_fails_the_run(cmd_exe: Path, tmp_path: Path) -> None:
    refused = create_text_file(str(tmp_path / "x.txt"), "refused", return_state=True)
    assert (refused.is_failed(), refused.message) == (True, "cmd.exe exited with 5: Zugriff verweigert: \ufffd")
    cmd_exe.unlink()
    missing = create_text_file(str(tmp_path / "x.txt"), return_state=True)
    assert missing.is_failed()
    assert (missing.message or "").startswith("the file was not written: ")
    assert list(tmp_path.iterdir()) == [cmd_exe.parent]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("broken", "cmd.exe exited with 1: Access is denied."),
        ("lost", "does not hold the text"),
        ("late", "the file was not written: Command 'cmd.exe' timed out after 30 seconds"),
        ("x" * 8001, "must not hold more than 8000 characters"),
    ],
)
@pytest.mark.usefixtures("calls")
def test_a_file_that_is_not_as_wanted_fails_the_run(tmp_path: Path, text: str, message: str) -> None:
    state = create_text_file(str(tmp_path / "x.txt"), text, return_state=True)
    assert state.is_failed()
    assert message in (state.message or "")


@pytest.mark.usefixtures("calls")
def test_a_folder_that_is_not_there_fails_the_run(tmp_path: Path) -> None:
    state = create_text_file(str(tmp_path / "none" / "x.txt"), return_state=True)
    assert (state.is_failed(), state.message) == (True, f"there is no folder {tmp_path / 'none'}")
