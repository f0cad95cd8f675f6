"""Makes the work pool and its queues, then runs a Prefect worker for some of them until SIGTERM.

The end has an order. A worker that is told to stop kills its runs at once, and they stay RUNNING at the server for ever. So
the runs are told first, and report themselves as crashed; then the worker; then what their commands left behind.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from descendants import Process, adopt_orphans, descendants, end, kill
from work_pool import PoolError, client, ensure_pool, wait_until_healthy

WORKER_GRACE = 5.0


class Settings(NamedTuple):
    api_url: str
    auth_string: str | None
    pool: str
    pool_type: str
    # Their limits: runs at once, None for as many as there are.
    queues: dict[str, int | None]
    # Those that this worker takes runs of.
    taken: tuple[str, ...]
    name: str
    run_limit: int | None
    # Seconds.
    start_timeout: float
    graceful_timeout: float


def read_settings(env: Mapping[str, str]) -> Settings:
    """An empty value counts as not set. Raises ValueError naming the variable that is wrong."""

    def text(name: str, default: str = "") -> str:
        return env.get(name, "").strip() or default

    def number(name: str) -> int | None:
        value = text(name)
        if value and not (value.isdecimal() and int(value) > 0):
            raise ValueError(f"{name} must be a number from 1, or empty")
        return int(value) if value else None

    if given := text("PREFECT_WORK_QUEUES"):
        queues = _queues(given)
        names = tuple(queues)
        # The compose files have two workers, however many queues there are.
        taken = {"first": names[:1], "others": names[1:] or names}.get(text("WORKER_TAKES"), names)
    else:
        queues = {
            text(f"PREFECT_WORK_QUEUE{position}_NAME", default): number(
                f"PREFECT_WORK_QUEUE{position}_CONCURRENCY_LIMIT"
            )
            for position, default in ((1, "ddp"), (2, "manual-dbt"))
        }
        taken = (text("WORK_QUEUE_NAME", next(iter(queues))),)
    api_url = text("PREFECT_API_URL").rstrip("/")
    if not api_url:
        raise ValueError("PREFECT_API_URL is not set")
    return Settings(
        api_url=api_url,
        auth_string=text("PREFECT_API_AUTH_STRING") or None,
        pool=text("PREFECT_POOL_NAME", "dalgo_work_pool"),
        pool_type=text("PREFECT_WORK_POOL_TYPE", "process"),
        queues=queues,
        taken=taken,
        # A fixed name: each start with a name of its own would leave one more offline worker at the server.
        name=text("WORKER_NAME", f"worker-{taken[0]}"),
        run_limit=number("FLOW_RUN_LIMIT"),
        start_timeout=number("WORKER_START_TIMEOUT") or 120,
        graceful_timeout=number("WORKER_GRACEFUL_TIMEOUT") or 30,
    )


def _queues(given: str) -> dict[str, int | None]:
    """The queues of a list like `ddp,manual-dbt,edr:2`, with their limits. Raises ValueError."""
    queues: dict[str, int | None] = {}
    for item in filter(None, map(str.strip, given.split(","))):
        name, colon, limit = (part.strip() for part in item.partition(":"))
        is_wrong = not name or name in queues or set(name) & set("/%&<>")
        if is_wrong or (colon and not (limit.isdecimal() and int(limit) > 0)):
            raise ValueError("PREFECT_WORK_QUEUES must be names, each once, with a limit from 1 if any: ddp,manual-dbt,edr:2")
        queues[name] = int(limit) if limit else None
    if not queues:
        raise ValueError("PREFECT_WORK_QUEUES must name at least one queue")
    return queues


def command(settings: Settings) -> list[str]:
    """How the worker is started."""
    limit = [] if settings.run_limit is None else ["--limit", str(settings.run_limit)]
    names = ["--pool", settings.pool, "--type", settings.pool_type]
    for queue in settings.taken:
        names += ["--work-queue", queue]
    # Nothing is installed at the start: what is not in the image is not locked.
    rest = ["--name", settings.name, "--install-policy", "never", "--with-healthcheck"]
    return ["prefect", "worker", "start", *names, *rest, *limit]


def run(settings: Settings) -> int:
    """Run the worker to its end. Returns the exit code: 0 where a signal ended it."""
    adopt_orphans()
    told = False
    worker = subprocess.Popen(command(settings))

    def stop(_signal: int, _frame: object) -> None:
        nonlocal told
        if not told:
            told = True
            end_all(worker.pid, settings.graceful_timeout)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # Also the orphans are ours to collect.
    while True:
        pid, status = os.wait()
        if pid == worker.pid:
            break
    if told:
        return 0
    say(f"the worker ended by itself ({os.waitstatus_to_exitcode(status)}); its runs are ended")
    end_all(worker.pid, settings.graceful_timeout)
    return 1


def end_all(worker: int, seconds: float) -> None:
    """End the runs, which get `seconds` to report, then the worker, then the rest."""

    def is_run(process: Process) -> bool:
        return process.parent == worker or "prefect.engine" in process.command

    runs = sum(map(is_run, descendants()))
    say(f"ending {runs} runs, then the worker")
    if not end(is_run, seconds):
        say(f"runs did not end within {seconds:.0f} s and are killed")
    end(lambda process: process.pid == worker, WORKER_GRACE)
    end(lambda process: True, 0.3)
    kill()


def say(line: str) -> None:
    print(f"start-worker: {line}", file=sys.stderr, flush=True)


def main() -> NoReturn:
    # Until the worker runs there is nothing to end in order.
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda _signal, _frame: sys.exit(0))
    try:
        settings = read_settings(os.environ)
        with client(settings.api_url, settings.auth_string) as api:
            wait_until_healthy(api, settings.start_timeout)
            ensure_pool(api, settings.pool, settings.pool_type, settings.queues)
    except (PoolError, ValueError) as error:
        sys.exit(f"start-worker: {error}")
    queues, taken = ", ".join(settings.queues), ", ".join(settings.taken)
    say(f"pool {settings.pool} with the queues {queues} is there; the worker takes {taken}")
    sys.exit(run(settings))


if __name__ == "__main__":
    main()
