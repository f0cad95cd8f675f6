"""Reads what hosts keep in the orchestrator's block documents.

By REST rather than by Prefect's block classes: the ones of Airbyte that are released are for Prefect 2.
"""

import json
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from task_failed import TaskFailed


def read_block(block_type: str, name: str) -> dict[str, Any] | None:
    """The data of a block document, its secrets and the blocks it refers to included; None where there is none."""
    with get_client(sync_client=True) as client:
        try:
            return client.read_block_document_by_name(name, block_type_slug=block_type, include_secrets=True).data
        except ObjectNotFound:
            return None


def read_secret(name: str) -> Any:
    """The value of a Secret block: the JSON where its text is JSON, else the text. Raises TaskFailed if absent."""
    block = read_block("secret", name)
    if block is None:
        raise TaskFailed(f"there is no Secret block named {name!r}")
    value = block.get("value")
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def read_secret_object(name: str, *keys: str) -> dict[str, Any]:
    """The value of a Secret block that is a JSON object with (at least) `keys`. Raises TaskFailed if it is not."""
    value = read_secret(name)
    if not isinstance(value, dict):
        raise TaskFailed(f"the Secret block {name!r} must hold a JSON object")
    missing = [key for key in keys if value.get(key) in (None, "")]
    if missing:
        raise TaskFailed(f"the Secret block {name!r} lacks {', '.join(map(repr, missing))}")
    return value
