"""A child process with all its descendants: reading what they write, and leaving none of them behind."""

import codecs
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Prefect's worker gives a cancelled run 30 s before it is killed; the children must be gone well within that.
TERM_GRACE = 5.0
# How long output is still read after the shell ended, where a background child keeps the pipe open.
DRAIN_GRACE = 2.0
# The orchestrator cuts or refuses very long messages, so a longer line goes out in pieces.
MAX_LINE = 64 * 1024

# Lives outside both process groups and waits for the end of its stdin: that comes also when the flow's process is
# killed with no chance to clean up (SIGKILL, out of memory).
GUARD = f'read -r _; kill -s TERM -- "-$1"; sleep {TERM_GRACE:g}; kill -s KILL -- "-$1"'


@contextmanager
def process_group(argv: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start `argv` as the leader of its own process group; end the whole group on the way out, however that is."""
    process = guard = None
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        yield process
    finally:
        if process:
            _end_group(process)
            process.__exit__(None, None, None)
        if guard:
            guard.kill()
            guard.__exit__(None, None, None)


def read_lines(process: subprocess.Popen[bytes], on_line: Callable[[str, str], None]) -> None:
    """Call `on_line("stdout"|"stderr", line)` for each line as it comes, until the process ended and all is read."""
    # One thread for both pipes: lines keep their order, and a signal (cancellation) interrupts the wait.
    with selectors.DefaultSelector() as selector:
        for name in ("stdout", "stderr"):
            selector.register(getattr(process, name), selectors.EVENT_READ, _LineCutter(name, on_line))
        drain_until: float | None = None
        while selector.get_map():
            ready = selector.select(timeout=0.25)
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                key.data.feed(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            if process.poll() is not None:
                drain_until = drain_until or time.monotonic() + DRAIN_GRACE
                if not ready or time.monotonic() > drain_until:
                    break
        for key in selector.get_map().values():
            key.data.feed(b"")


class _LineCutter:
    """Cuts the bytes of one pipe into lines of text; an empty chunk is the end."""

    def __init__(self, name: str, on_line: Callable[[str, str], None]) -> None:
        self._name, self._on_line = name, on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, chunk: bytes) -> None:
        self._rest += self._decoder.decode(chunk, final=not chunk)
        *lines, self._rest = self._rest.split("\n")
        if (not chunk and self._rest) or len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self._rest = ""
        for line in lines:
            # PostgreSQL stores no NUL, and would refuse the whole batch of logs.
            self._on_line(self._name, line.rstrip("\r").replace("\0", "\N{REPLACEMENT CHARACTER}"))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + patience
        while _signal_group(process.pid, sign if sign else 0):
            process.poll()  # reaps the leader: as a zombie it would keep its group alive
            sign = 0
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)


def _signal_group(pgid: int, sign: int) -> bool:
    try:
        os.killpg(pgid, sign)
    except (ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of zombies
        return False
    return True
