"""git tasks against real repositories: beside us, and behind a password."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import save_secret
from conftest import shell_task
from prefect.client.schemas.objects import State
from servers import Service, all_arguments, basic, serve, static_file

from git_access import git_task
from pipeline import deployment_schedule_flow_v5
from shell_commands import run_commands
from task_failed import TaskFailed

TOKEN = "gh+s3cret/t0ken"
IN_URL = "gh%2Bs3cret%2Ft0ken"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


class Repository:
    """A bare repository, and a work tree to change it from."""

    def __init__(self, folder: Path) -> None:
        self.bare, self._work = folder / "origin.git", folder / "work"
        folder.mkdir()
        git(folder, "init", "--bare", str(self.bare))
        git(folder, "clone", str(self.bare), str(self._work))
        self.commit("first")

    def commit(self, name: str) -> None:
        (self._work / name).write_text(name)
        git(self._work, "add", name)
        git(self._work, "commit", "-m", name)
        git(self._work, "push", "origin", "HEAD:main")
        git(self.bare, "update-server-info")  # what plain HTTP needs


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "remote")


@pytest.fixture
def guarded(repository: Repository) -> Iterator[tuple[Service, list[str]]]:
    """The repository behind a password; and what `ps` showed at each request."""
    seen: list[str] = []

    def answer(_method: str, path: str, _body: Any) -> tuple[int, Any]:
        seen.append(all_arguments())
        if service.headers[-1].get("authorization") != basic("oauth2", TOKEN):
            return 401, None
        return static_file(repository.bare.parent, path)

    with serve(answer) as service:
        yield service, seen


def run(*tasks: dict[str, Any]) -> State:
    return deployment_schedule_flow_v5({"tasks": list(tasks)}, return_state=True)


def git_clone(folder: Path, **env: str) -> dict[str, Any]:
    return shell_task(folder, "git clone", slug="git-clone", **env)


def everything_under(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_clone_and_pull_with_a_secret_show_it_nowhere(
    repository: Repository, guarded: tuple[Service, list[str]], tmp_path: Path, logged: list[str]
) -> None:
    service, seen = guarded
    save_secret("git-pull-url", f"http://oauth2:{IN_URL}@127.0.0.1:{service.port}/origin.git")
    org = tmp_path / "org"
    org.mkdir()
    block = {"secret-git-pull-url-block": "git-pull-url"}
    state = run(git_clone(org, project_dir="dbt repo", **block))
    assert state.is_completed(), state.message
    project = org / "dbt repo"
    assert (project / "first").read_text() == "first"
    assert git(project, "remote", "get-url", "origin").strip() == f"{service.url}/origin.git"

    repository.commit("second")
    state = run(shell_task(project, "git pull", slug="git-pull", **block))
    assert state.is_completed(), state.message
    assert (project / "second").read_text() == "second"

    assert any(f"clone {service.url}/origin.git" in text for text in seen)
    shown = "\n".join([*seen, *logged])
    for secret in (TOKEN, IN_URL, "s3cret"):
        assert secret not in shown
        assert secret.encode() not in everything_under(org)


def test_a_token_that_is_refused_fails_at_once_and_is_not_shown(
    guarded: tuple[Service, list[str]], tmp_path: Path, logged: list[str]
) -> None:
    service, _ = guarded
    save_secret("git-wrong-token", f"http://wr0ng-s3cret@127.0.0.1:{service.port}/origin.git")
    state = run(git_clone(tmp_path, project_dir="repo", **{"secret-git-pull-url-block": "git-wrong-token"}))
    assert state.is_failed()
    assert f"exited with 128: git clone {service.url}/origin.git repo" in (state.message or "")
    assert any("Authentication failed" in line for line in logged)
    assert "wr0ng" not in "\n".join([*logged, state.message or ""])


def test_a_secret_that_a_tool_prints_is_masked(tmp_path: Path) -> None:
    save_secret("git-echo", f"https://x-access-token:{IN_URL}@git.example.org/org/repo.git")
    task = shell_task(tmp_path, "env; echo", slug="git-pull", **{"secret-git-pull-url-block": "git-echo"})
    log: list[str] = []
    commands, env, secrets = git_task(task)
    lines = run_commands(commands, str(tmp_path), env, log.append, secrets=secrets)
    assert "FLOWS_GIT_PASSWORD=***" in lines
    assert "FLOWS_GIT_USERNAME=x-access-token" in lines
    assert lines[-1] == "https://git.example.org/org/repo.git"
    assert "s3cret" not in "\n".join([*lines, *log])


def test_credentials_are_for_their_own_host_only(tmp_path: Path) -> None:
    save_secret("git-own-host", f"https://oauth2:{IN_URL}@git.example.org/org/repo.git")
    ask = "printf 'protocol=https\\nhost=%s\\n\\n' HOST | git credential fill 2>&1 #"
    for host, answer in (("git.example.org", "username=oauth2"), ("other.example.org", "terminal prompts disabled")):
        task = shell_task(tmp_path, ask.replace("HOST", host), slug="git-pull")
        task["env"]["secret-git-pull-url-block"] = "git-own-host"
        commands, env, _ = git_task(task)
        log: list[str] = []
        try:
            run_commands(commands, str(tmp_path), env, log.append)
        except TaskFailed:
            pass
        assert answer in "\n".join(log)


def test_without_a_secret_the_given_repository_or_the_usual_remote_is_used(
    repository: Repository, tmp_path: Path
) -> None:
    none = {"secret-git-pull-url-block": ""}
    clone = git_clone(tmp_path, gitrepo_url=str(repository.bare), project_dir="repo", **none)
    pull = shell_task(tmp_path / "repo", "git pull", slug="git-pull", seq=2, **none)
    state = run(clone, pull)
    assert state.is_completed(), state.message
    assert (tmp_path / "repo" / "first").exists()


@pytest.mark.parametrize(
    ("value", "env", "message"),
    [
        (None, {}, "no repository: neither 'secret-git-pull-url-block' nor 'gitrepo_url' is set in env"),
        (None, {"secret-git-pull-url-block": "git-absent"}, "there is no Secret block named 'git-absent'"),
        ({"url": "s3cret"}, {}, "the Secret block 'git-value' must hold the URL of a repository"),
        ("ssh://git:s3cret@h/x", {}, "a ssh URL cannot hold a password: use a key of the worker, or https"),
        ("https://u:s3cret@[h/x", {}, "the repository URL is not valid"),
    ],
)
def test_a_repository_that_cannot_be_used(tmp_path: Path, value: Any, env: dict[str, str], message: str) -> None:
    if value:
        save_secret("git-value", value)
        env = {"secret-git-pull-url-block": "git-value"}
    with pytest.raises(TaskFailed) as caught:
        git_task(git_clone(tmp_path, **env))
    assert str(caught.value) == message
