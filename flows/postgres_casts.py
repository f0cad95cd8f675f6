"""Casts of columns on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from task_failed import TaskFailed
from warehouse import Warehouse

# By the names that information_schema has for them.
TYPES = {"timestamp": "timestamp without time zone"}
COLUMNS = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
LIBPQ = ("host", "port", "user", "password", "connect_timeout", "application_name", "sslmode", "sslcert", "sslkey")


@contextmanager
def postgres_casts(
    warehouse: Warehouse, folder: Path, mask: Callable[[str], str]
) -> Iterator[Callable[[str, str, dict[str, str]], list[str]]]:
    """Connect, and give a function (schema, table, casts) that returns the columns it changed."""
    fields = warehouse.postgres(folder)
    options: dict[str, Any] = {name: fields[name] for name in (*LIBPQ, "sslrootcert") if name in fields}
    try:
        connection = psycopg.connect(**options, dbname=fields.get("database"), autocommit=True)
    except psycopg.Error as error:
        raise TaskFailed(f"no connection to the warehouse: {mask(str(error)).strip()}") from None
    with connection:
        if fields.get("role"):
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(fields["role"])))

        def cast_table(schema: str, table: str, casts: dict[str, str]) -> list[str]:
            present = dict(connection.execute(COLUMNS, (schema, table)).fetchall())
            # What is right already is left out: to change the type of a column that a view reads fails, always.
            due = [column for column, to in casts.items() if present.get(column) != TYPES.get(to, to)]
            if due:
                connection.execute(_alter(schema, table, {column: casts[column] for column in due}))
            return due

        yield cast_table


def _alter(schema: str, table: str, casts: dict[str, str]) -> sql.Composed:
    column = "ALTER COLUMN {column} TYPE {type} USING {column}::{type}"
    changes = [
        sql.SQL(column).format(column=sql.Identifier(name), type=sql.SQL(to))  # type: ignore[arg-type]
        for name, to in casts.items()
    ]
    return sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(schema, table), sql.SQL(", ").join(changes))
