"""Casts of columns on BigQuery, which can't change a type in place: the table is made anew from itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.cloud import bigquery
from google.oauth2.service_account import Credentials

from task_failed import TaskFailed
from warehouse import Warehouse

TYPES = {
    "numeric": "NUMERIC",
    "integer": "INT64",
    "bigint": "INT64",
    "boolean": "BOOL",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "text": "STRING",
}
# Its API says some types by their older names.
OLDER = {"INTEGER": "INT64", "BOOLEAN": "BOOL"}


@contextmanager
def bigquery_casts(warehouse: Warehouse) -> Iterator[Callable[[str, str, dict[str, str]], list[str]]]:
    """Connect, and give a function (dataset, table, casts) that returns the columns it changed."""
    try:
        credentials = Credentials.from_service_account_info(warehouse.creds)
    except ValueError:
        raise TaskFailed("the warehouse's Secret block holds no valid service account") from None
    location = warehouse.extras.get("location")
    with bigquery.Client(warehouse.creds["project_id"], credentials, location=location) as client:

        def cast_table(dataset: str, name: str, casts: dict[str, str]) -> list[str]:
            table = client.get_table(f"{client.project}.{dataset}.{name}")
            present = {column.name: _modern(column.field_type) for column in table.schema}
            due = [column for column, to in casts.items() if present.get(column) != TYPES[to]]
            if due:
                client.query(rebuild(table, {column: TYPES[casts[column]] for column in due})).result()
            return due

        yield cast_table


def rebuild(table: Any, casts: dict[str, str]) -> str:
    """The statement that makes `table` anew with `casts` ({column: BigQuery type}), partitioned and clustered as it is.

    Raises TaskFailed where the partitions can't be kept: BigQuery replaces no table by one of other partitions.
    """
    name = ".".join(map(_quoted, (table.project, table.dataset_id, table.table_id)))
    columns = ", ".join(f"CAST({_quoted(column)} AS {to}) AS {_quoted(column)}" for column, to in casts.items())
    lines = [f"CREATE OR REPLACE TABLE {name}"]
    if table.time_partitioning or table.range_partitioning:
        lines.append(f"PARTITION BY {_partition(table, casts)}")
    if table.clustering_fields:
        lines.append("CLUSTER BY " + ", ".join(map(_quoted, table.clustering_fields)))
    lines.append(f"AS SELECT * REPLACE ({columns}) FROM {name}")
    return "\n".join(lines)


def _partition(table: Any, casts: dict[str, str]) -> str:
    by = table.time_partitioning
    if not by or not by.field:
        raise TaskFailed("it is partitioned by ranges or by the time of loading, which a cast would lose")
    if by.field in casts:
        raise TaskFailed(f"{by.field} makes its partitions, and cannot be cast")
    type_ = next((_modern(column.field_type) for column in table.schema if column.name == by.field), "TIMESTAMP")
    field = _quoted(by.field)
    if by.type_ == "DAY":
        return field if type_ == "DATE" else f"DATE({field})"
    return f"{type_}_TRUNC({field}, {by.type_})"


def _modern(type_: str) -> str:
    return OLDER.get(type_, type_)


def _quoted(identifier: str) -> str:
    escaped = identifier.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
