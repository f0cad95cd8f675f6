"""The smallest flow: prints a message."""

from prefect import flow


@flow(log_prints=True, persist_result=False)
def print_message(message: str = "Hello from a worker") -> None:
    """Print `message`; it is a line of the run's logs."""
    print(message)
