"""Casts of columns after a sync: Airbyte writes most of them as text, and hosts choose better types for some."""

from collections.abc import Callable
from typing import Any

from private_folder import private_folder
from redaction import masker
from task_failed import TaskFailed
from warehouse import BIGQUERY, Warehouse, load_warehouse

TYPES = ("numeric", "integer", "bigint", "boolean", "date", "timestamp", "text")
Log = Callable[[str], None]


def run_casts(extra: dict[str, Any], log: Log) -> int:
    """Do the casts among `extra["post_sync_ops"]` and return how many tables were changed.

    `extra["env"]` names the warehouse's Secret block. Columns that have their type already are left alone. Every table
    is tried. Raises TaskFailed that names those that failed.
    """
    casts = casts_in(extra)
    if not casts:
        return 0
    warehouse = load_warehouse(extra.get("env"))
    mask = masker(warehouse.secrets())
    changed, failures = 0, []
    with private_folder() as folder, _connection(warehouse, folder, mask) as cast_table:
        for cast in casts:
            table, columns = f"{cast['schema']}.{cast['table']}", cast["column_casts"]
            try:
                done = cast_table(cast["schema"], cast["table"], columns)
            except Exception as error:  # the drivers share no class of errors
                failures.append(f"{table}: {mask(str(error)).strip()}")
                continue
            told = ", ".join(f"{column} to {columns[column]}" for column in done)
            log(f"{table}: " + (f"cast {told}" if told else "all columns have their types"))
            changed += bool(done)
    if failures:
        raise TaskFailed(f"{len(failures)} of {len(casts)} tables could not be cast: " + "; ".join(failures))
    return changed


def casts_in(extra: dict[str, Any]) -> list[dict[str, Any]]:
    """The casts that a connection's block asks for. Raises TaskFailed where one is not valid."""
    casts = [op for op in extra.get("post_sync_ops") or [] if isinstance(op, dict) and op.get("type") == "cast"]
    for cast in casts:
        columns = cast.get("column_casts")
        if not (isinstance(cast.get("schema"), str) and isinstance(cast.get("table"), str)):
            raise TaskFailed("a cast must name its 'schema' and 'table'")
        table = f"{cast['schema']}.{cast['table']}"
        if not isinstance(columns, dict):
            raise TaskFailed(f"the cast of {table}: 'column_casts' must be an object")
        unknown = sorted({str(type_) for type_ in columns.values()} - set(TYPES))
        if unknown:
            raise TaskFailed(f"the cast of {table}: unknown type {unknown[0]!r} (known: {', '.join(TYPES)})")
    return casts


def _connection(warehouse: Warehouse, folder: Any, mask: Callable[[str], str]) -> Any:
    # Imported here: a worker without these casts needs no driver.
    try:
        if warehouse.wtype == BIGQUERY:
            from bigquery_casts import bigquery_casts

            return bigquery_casts(warehouse)
        from postgres_casts import postgres_casts

        return postgres_casts(warehouse, folder, mask)
    except ImportError:
        extra = warehouse.wtype
        raise TaskFailed(f"casts on {extra} need a driver: install the flows' extra {extra!r} on this worker") from None


