"""The processes that this one has started, however indirectly, and ending them (Linux)."""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    pid: int
    parent: int
    command: str


def adopt_orphans() -> None:
    """From now on a descendant whose parent has ended becomes our child, so that it is still found."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[Process]:
    """All that are alive."""
    everything = list(_processes())
    found = {os.getpid()}
    # Children come in no order that can be relied on.
    while more := {process.pid for process in everything if process.parent in found} - found:
        found |= more
    return [process for process in everything if process.pid in found and process.pid != os.getpid()]


def end(which: Callable[[Process], bool], seconds: float) -> bool:
    """Send each descendant that `which` chooses one SIGTERM, those that appear meanwhile too; whether all ended in time."""
    told: set[int] = set()
    until = time.monotonic() + seconds
    while left := [process for process in descendants() if which(process)]:
        for process in left:
            if process.pid not in told:
                told.add(process.pid)
                _signal(process.pid, signal.SIGTERM)
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def kill() -> None:
    """End all descendants at once."""
    for process in descendants():
        _signal(process.pid, signal.SIGKILL)


def _processes() -> Iterable[Process]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        # It may have ended since it was listed.
        with suppress(OSError):
            # The second field is the name, which may hold blanks and parentheses.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield Process(int(folder.name), int(parent), command)


def _signal(pid: int, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, sign)
