"""Keeps secrets out of what is logged, returned and stored."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

MASK = "***"
# Shorter ones would mask half of what a tool says.
SHORTEST = 4
SECRET_KEY = re.compile(r"pass|pwd|secret|private|token|key", re.IGNORECASE)


def masker(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that hides `secrets` in a text, in the forms that tools print them, and credentials in URLs."""
    parts = {line.strip() for secret in secrets for form in _forms(secret) for line in form.splitlines()}
    longest_first = sorted((part for part in parts if len(part) >= SHORTEST), key=len, reverse=True)
    if not longest_first:
        return without_credentials
    known = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: without_credentials(known.sub(MASK, text))


def without_credentials(text: str) -> str:
    """Hide `user:password@` in the URLs of a text, as commands and git's own messages carry them."""
    return re.sub(r"(?<=://)[^/\s@'\"]+@", f"{MASK}@", text)


def secrets_in(value: Any, key: str = "") -> Iterator[str]:
    """The texts in `value` (JSON) whose keys say that they are secrets."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from secrets_in(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner, key)
    elif value is not None and SECRET_KEY.search(key) and not key.endswith("uri"):
        yield str(value)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
