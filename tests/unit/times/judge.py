"""Writes into forms.json how those whom hosts have been sending times to read each `given`.

`pydantic` is what FastAPI took in a body, `prefect` what Prefect took from a query that was passed on, `python` what
`datetime.fromisoformat` took from one that was not; null is a refusal. A new form is added by hand as `{"given": ...}`. Run
it in a locked environment of Prefect's server, as the live tests make them:
`.local/prefect-3.8.8/python-*/bin/python tests/unit/times/judge.py`.
"""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

from prefect.types import DateTime
from pydantic import TypeAdapter


def read(reader: Callable[[Any], datetime], value: Any) -> str | None:
    try:
        time = reader(value)
        time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
        return time.astimezone(timezone.utc).isoformat(timespec="microseconds")
    except OverflowError:
        return "beyond the calendar in UTC"
    except Exception:
        return None


READERS = {
    "pydantic": TypeAdapter(datetime).validate_python,
    "prefect": TypeAdapter(DateTime).validate_python,
    "python": datetime.fromisoformat,
}
FORMS = Path(__file__).with_name("forms.json")
rows = [row["given"] for row in json.loads(FORMS.read_text())]
judged = [{"given": form, **{name: read(reader, form) for name, reader in READERS.items()}} for form in rows]
FORMS.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in judged) + "\n]\n")
