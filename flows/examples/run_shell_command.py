"""A shell command with arguments, its output as logs (POSIX only)."""

import shlex
import sys
import tempfile
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

# Prefect knows the folder of this file and the working directory, which is another one in a clone of the whole project.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from run_results import PIPELINE_OUTPUT, bounded, store_results, task_result  # noqa: E402
from shell_commands import run_commands  # noqa: E402
from task_failed import TaskFailed  # noqa: E402


@flow(persist_result=False)
def run_shell_command(
    command: str = 'echo "Hello, $1"', arguments: list[str] | None = None, working_dir: str | None = None
) -> list[str] | State:
    """Run `command` in a shell, with `arguments` as "$1", "$2" and so on; what it writes is in the run's logs, by line.

    `command` is the program, for those who may run any: nothing that comes from outside belongs into its text. That is
    what `arguments` are for: the shell takes them as they are, whatever they hold, and never as a part of the program
    (as long as it quotes them: "$1"). `working_dir` is the folder for temporary files where it is not given.

    A status other than 0 fails the run. The lines of stdout are its result, kept as an artifact too.
    """
    logger = get_run_logger()
    call = shlex.join(["sh", "-c", command, "sh", *(arguments or [])])
    try:
        # "%s", because the output is free to hold a per cent sign.
        lines = run_commands(
            [call], working_dir or tempfile.gettempdir(), {}, lambda line: logger.info("%s", line), shown=[command]
        )
        state = Completed(data=bounded(lines, PIPELINE_OUTPUT))
    except TaskFailed as error:
        logger.error("%s", error)
        state = Failed(message=str(error))
    store_results([task_result({"seq": 1, "type": "Shell Operation", "slug": "command"}, state, state.data)])
    return state
