"""git with a repository URL that may hold credentials.

They reach git by its credential protocol, from the environment: so they are in no argument that `ps` shows, git does
not write them into `.git/config`, and git itself offers them to no other host than theirs.
"""

import os
import shlex
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from secret_blocks import read_secret
from task_failed import TaskFailed

GIT_SLUGS = ("git-pull", "git-clone")
SECRET_BLOCK = "secret-git-pull-url-block"
# What a task's env says to the flow, and is not for the commands' environment.
OPTIONS = (SECRET_BLOCK, "gitrepo_url", "project_dir")
# Names that go with a token, and say nothing.
PUBLIC_USERS = ("git", "oauth2", "x-access-token", "x-token-auth", "x-oauth-basic")
HELPER = '!f() { printf "username=%s\\npassword=%s\\n" "$FLOWS_GIT_USERNAME" "$FLOWS_GIT_PASSWORD"; }; f'


class GitTask(NamedTuple):
    """What to run for a git task."""

    commands: list[str]
    env: dict[str, Any]
    secrets: list[str]


def git_task(task: dict[str, Any]) -> GitTask:
    """The commands of a `git-pull` or `git-clone` task with its repository added, and the environment they need.

    Raises TaskFailed where the Secret block is absent, or `git-clone` has no repository.
    """
    env = dict(task.get("env") or {})
    block, given, folder = (env.pop(option, None) for option in OPTIONS)
    clones = task["slug"] == "git-clone"
    url = _url_in(block) if block else given if clones else None
    if not url:
        if clones:
            raise TaskFailed(f"no repository: neither {SECRET_BLOCK!r} nor 'gitrepo_url' is set in env")
        return GitTask(task["commands"], {**env, "GIT_TERMINAL_PROMPT": "0"}, [])
    bare, access, secrets = _apart(str(url).strip())
    added = [shlex.quote(bare)]
    if clones and folder:
        added.append(shlex.quote(str(folder)))
    commands = [" ".join([command, *added]) for command in task["commands"]]
    # Without a terminal git would wait for ever for whoever answers its questions.
    return GitTask(commands, {**env, "GIT_TERMINAL_PROMPT": "0", **access}, secrets)


def _url_in(block: str) -> str:
    url = read_secret(block)
    if not isinstance(url, str):
        raise TaskFailed(f"the Secret block {block!r} must hold the URL of a repository")
    return url


def _apart(url: str) -> tuple[str, dict[str, str], list[str]]:
    """(the URL without credentials, the environment that gives them to git, the texts to mask)"""
    try:
        parts = urlsplit(url)
        username, password = parts.username, parts.password
    except ValueError:
        raise TaskFailed("the repository URL is not valid") from None
    if parts.scheme not in ("http", "https"):
        if password is not None:
            raise TaskFailed(f"a {parts.scheme} URL cannot hold a password: use a key of the worker, or https")
        return url, {}, []
    if username is None and password is None:
        return url, {}, []
    userinfo, _, host = parts.netloc.rpartition("@")
    bare = SplitResult(parts.scheme, host, parts.path, parts.query, parts.fragment).geturl()
    user, secret = unquote(username or ""), unquote(password or "")
    # `https://TOKEN@host/` and `https://TOKEN:x-oauth-basic@host/` are usual: then the user name is the secret.
    secrets = [text for text in (userinfo, username, user, password, secret) if text and text not in PUBLIC_USERS]
    return bare, _credentials(f"{parts.scheme}://{host}", user, secret), secrets


def _credentials(site: str, user: str, secret: str) -> dict[str, str]:
    # The empty helper switches off those of the machine: they would store what they are shown.
    settings = [("credential.helper", ""), (f"credential.{site}.helper", HELPER)]
    held = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    env = {"FLOWS_GIT_USERNAME": user, "FLOWS_GIT_PASSWORD": secret, "GIT_CONFIG_COUNT": str(held + len(settings))}
    for index, (key, value) in enumerate(settings, start=held):
        env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return env
