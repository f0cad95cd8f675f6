"""How a task says that it did not succeed."""


class TaskFailed(Exception):
    """A task did not succeed; the message is for the host's users and holds no secret."""


class CommandFailed(TaskFailed):
    """A command of the task ended with a status other than 0."""

    def __init__(self, message: str, status: int, lines: list[str]) -> None:
        """`lines` is what the commands wrote to stdout before."""
        super().__init__(message)
        self.lines = lines
        # A shell says 128 + N for a command that signal N ended.
        self.was_killed = status < 0 or status > 128
