"""A folder for secrets: readable by this user only, and gone when the task is over, however that comes about."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Waits for the end of its stdin, which comes also when the flow's process is killed with no chance to clean up.
GUARD = 'read -r _; rm -rf -- "$1"'


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a temporary folder (0700) and remove it with all that is in it on the way out."""
    guard = None
    with tempfile.TemporaryDirectory(prefix="task-", ignore_cleanup_errors=True) as folder:
        try:
            guard = subprocess.Popen(
                ["sh", "-c", GUARD, "guard", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            yield Path(folder)
        finally:
            if guard:
                guard.kill()
                guard.__exit__(None, None, None)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only this user can read (0600)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)
