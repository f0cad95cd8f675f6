"""Checks that the files of a folder are named as they should be."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

ARTIFACT_KEY = "file-names"
MAX_ROWS = 1000
MAX_NAMED = 5


@flow(persist_result=False)
def check_file_names(
    folder: str = "content",
    pattern: str = r"\d{4}-\d{2}-\d{2}-[a-z0-9-]+\.md",
    recursive: bool = False,
    fail_if_wrong: bool = True,
) -> State:
    """Compare the name of each file in `folder` with the regular expression `pattern`, which must match it whole.

    A relative `folder` is one beside this flow's file. `recursive`: in its folders, too (links to folders are not
    followed). What is wrong becomes a table artifact, and fails the run unless `fail_if_wrong` is off.
    """
    root = Path(__file__).resolve().parent / folder
    try:
        names = re.compile(pattern)
    except re.error as error:
        return _failed(f"pattern is not a regular expression: {error}")
    if not root.is_dir():
        return _failed(f"folder is not there: {root}")
    try:
        files = list(_files(root, recursive))
    except OSError as error:
        return _failed(f"folder cannot be read: {error}")
    wrong = sorted(_shown(path.relative_to(root)) for path in files if not names.fullmatch(path.name))
    summary = f"{len(files)} files checked, {len(wrong)} with a wrong name"
    _report(wrong, pattern, f"{summary}, in {root}")
    if not wrong:
        get_run_logger().info("%s", summary)
        return Completed(message=summary)
    more = ", ..." if len(wrong) > MAX_NAMED else ""
    message = f"{summary}: {', '.join(wrong[:MAX_NAMED])}{more}"
    if fail_if_wrong:
        return _failed(message)
    get_run_logger().warning("%s", message)
    return Completed(message=message)


def _files(root: Path, recursive: bool) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error  # a folder that is passed over would count as right

    for folder, _, names in os.walk(root, onerror=refuse):
        yield from (Path(folder, name) for name in names)
        if not recursive:
            return


def _report(wrong: list[str], pattern: str, description: str) -> None:
    rows = [{"file": name, "why": f"the name does not match {pattern}"} for name in wrong[:MAX_ROWS]]
    if len(wrong) > MAX_ROWS:
        description += f"; the first {MAX_ROWS} are listed"
    create_table_artifact(key=ARTIFACT_KEY, table=rows, description=description)


def _shown(path: Path) -> str:
    # Names of files are free to hold bytes that are no text: JSON is not.
    return path.as_posix().encode(errors="backslashreplace").decode()


def _failed(message: str) -> State:
    get_run_logger().error("%s", message)
    return Failed(message=message)
