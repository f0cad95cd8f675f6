"""What the OpenAPI document says in words and JSON Schema cannot: such requests are not made here."""

import json
import uuid
from typing import Any

import schemathesis

LARGEST = 2**64


def _is_storable(value: Any) -> bool:
    """Free objects hold no number beyond 64 bits and no half of a surrogate pair: the orchestrator stores neither."""
    if isinstance(value, dict):
        return all(_is_storable(key) and _is_storable(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_storable, value))
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, (int, float)):
        return -(2**63) <= value < LARGEST
    return True


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    return _is_storable(body)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Changes what would be refused for its relation to something else; requests that are to be refused stay."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    headers = case.headers or {}
    # The same key with other parameters is refused.
    if "idempotency-key" in headers:
        headers["idempotency-key"] = uuid.uuid4().hex
    # The text of this header is JSON.
    if "x-cleanup-resources" in headers:
        headers["x-cleanup-resources"] = json.dumps({"block_documents": [str(uuid.uuid4())]})
    # A pattern knows no calendar.
    if "last-event-id" in headers:
        del headers["last-event-id"]
    # A cursor is opaque: nobody makes one up.
    for fields in (case.query, case.body):
        if isinstance(fields, dict):
            fields.pop("cursor", None)
    # A range begins before its end, which is now unless it is said.
    for fields in (case.query, case.body):
        if isinstance(fields, dict) and "since" in fields:
            fields["since"] = "2026-01-31T03:00:00Z"
            fields.pop("until", None)
