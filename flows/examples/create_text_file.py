"""Creates a text file by Windows' command interpreter; elsewhere it does nothing and says so."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

# No value is a part of the command line: cmd.exe takes `!NAME!` from the environment after it has parsed the line, so
# that & | > % " and ^ mean nothing in them. /v:on is what allows it, /d leaves out what the registry would run first,
# and the code page is that of UTF-8.
COMMAND_LINE = 'cmd.exe /d /v:on /s /c "chcp 65001 >nul & >"!TEXT_FILE!" echo(!TEXT!"'
# A line of cmd.exe is 8191 characters long at most, with the values.
MAX_VALUES = 8000
TIMEOUT_SECONDS = 30


@flow(persist_result=False)
def create_text_file(path: str | None = None, text: str = "Hello from cmd.exe") -> State:
    """Write `text` as a file at `path`, overwriting it (not given: `prefect-proxy-example.txt` in the temporary folder).

    It runs on Windows only; on other systems the run ends as COMPLETED, named Skipped. It fails where the file does not
    hold the text afterwards.
    """
    logger = get_run_logger()
    if sys.platform != "win32":
        message = f"Skipped: cmd.exe is a part of Windows, and this worker runs on {sys.platform}"
        logger.warning("%s", message)
        return Completed(name="Skipped", message=message)
    file = Path(path or Path(tempfile.gettempdir(), "prefect-proxy-example.txt")).absolute()
    problem = _problem(file, text) or _write(file, text)
    if problem:
        logger.error("%s", problem)
        return Failed(message=problem)
    logger.info("%s", f"Created {file}")
    return Completed(message=f"Created {file}")


def _problem(file: Path, text: str) -> str | None:
    """Why cmd.exe could not do it, if so."""
    if len(text) + len(str(file)) > MAX_VALUES or "\0" in text + str(file):
        return f"path and text must not hold more than {MAX_VALUES} characters, nor NUL"
    return None if file.parent.is_dir() else f"there is no folder {file.parent}"


def _write(file: Path, text: str) -> str | None:
    """Let cmd.exe write the file; say what went wrong, if anything."""
    try:
        done = subprocess.run(
            COMMAND_LINE,
            env={**os.environ, "TEXT_FILE": str(file), "TEXT": text},
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            # A console of its own: the worker's keeps its code page.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        if done.returncode != 0:
            return f"cmd.exe exited with {done.returncode}: {done.stderr.decode(errors='replace').strip()}"
        written = file.read_text(encoding="utf-8", errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the file was not written: {error}"
    # cmd.exe ends what it writes with a line break.
    return None if written.splitlines() == (text.splitlines() or [""]) else f"{file} does not hold the text"
