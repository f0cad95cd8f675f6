"""Casts after a sync: on a real PostgreSQL, and on a fake of BigQuery's API with its real client."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_server import PASSWORD as AIRBYTE_PASSWORD
from airbyte_server import airbyte_server
from blocks import AirbyteConnection, AirbyteServer, save_secret
from conftest import subflows
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from postgres import PASSWORD, Postgres
from prefect.client.orchestration import SyncPrefectClient
from servers import Service, serve

from column_casts import run_casts
from pipeline import deployment_schedule_flow_v5
from task_failed import TaskFailed


def cast(table: str, schema: str = "raw", **columns: str) -> dict[str, Any]:
    return {"type": "cast", "schema": schema, "table": table, "column_casts": columns}


def extra(*ops: dict[str, Any]) -> dict[str, Any]:
    return {"name": "c", "env": {"dbt-profile-secret-block": "cast-warehouse"}, "post_sync_ops": list(ops)}


@pytest.fixture
def warehouse(postgres: Postgres) -> Postgres:
    save_secret("cast-warehouse", json.dumps({"wtype": "postgres", "default_schema": "x", "creds": postgres.creds}))
    postgres.query("DROP SCHEMA IF EXISTS raw CASCADE")
    postgres.query("CREATE SCHEMA raw")
    postgres.query('CREATE TABLE raw."Odd ""table" (a text, "B c" text, t text, d text, f text)')
    postgres.query("""INSERT INTO raw."Odd ""table" VALUES ('1.5', '7', '2024-01-02 03:04:05', '2024-01-02', 'true')""")
    return postgres


ODD = cast('Odd "table', a="numeric", **{"B c": "bigint"}, t="timestamp", d="date", f="boolean")


def types(postgres: Postgres) -> list[str]:
    query = "SELECT data_type FROM information_schema.columns WHERE table_name LIKE 'Odd%' ORDER BY ordinal_position"
    return [type_ for (type_,) in postgres.query(query)]


def test_postgres_columns_get_their_types(warehouse: Postgres) -> None:
    log: list[str] = []
    assert run_casts(extra({"type": "other"}, ODD), log.append) == 1
    assert types(warehouse) == ["numeric", "bigint", "timestamp without time zone", "date", "boolean"]
    assert log == ['raw.Odd "table: cast a to numeric, B c to bigint, t to timestamp, d to date, f to boolean']


def test_a_column_that_has_its_type_is_left_alone(warehouse: Postgres) -> None:
    run_casts(extra(ODD), print)
    # PostgreSQL refuses to change, even to the same, the type of what a view reads.
    warehouse.query('CREATE VIEW raw.v AS SELECT * FROM raw."Odd ""table"')
    log: list[str] = []
    assert run_casts(extra(ODD), log.append) == 0
    assert log == ['raw.Odd "table: all columns have their types']


def test_every_table_is_tried_and_failures_are_named(warehouse: Postgres) -> None:
    warehouse.query("CREATE TABLE raw.other AS SELECT 'no number' AS a")
    with pytest.raises(TaskFailed) as caught:
        run_casts(extra(cast("absent", a="text"), cast("other", a="integer"), ODD), print)
    message = str(caught.value)
    assert message.startswith("2 of 3 tables could not be cast: raw.absent: ")
    assert "raw.other: invalid input syntax for type integer" in message
    assert types(warehouse)[:2] == ["numeric", "bigint"]


def test_a_warehouse_that_lets_nobody_in(warehouse: Postgres) -> None:
    creds = {**warehouse.creds, "password": "wr0ng-s3cret"}
    save_secret("cast-warehouse", json.dumps({"wtype": "postgres", "creds": creds}))
    with pytest.raises(TaskFailed, match="^no connection to the warehouse: .*password authentication failed") as caught:
        run_casts(extra(ODD), print)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (cast("t", a="jsonb"), "the cast of raw.t: unknown type 'jsonb'"),
        ({"type": "cast", "schema": "s"}, "a cast must name its 'schema' and 'table'"),
        ({"type": "cast", "schema": "s", "table": "t"}, "the cast of s.t: 'column_casts' must be an object"),
    ],
)
def test_a_cast_that_is_not_valid(op: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        run_casts(extra(op), print)
    assert message in str(caught.value)


def test_without_casts_no_warehouse_is_needed() -> None:
    assert run_casts({"post_sync_ops": [{"type": "unknown"}]}, print) == 0
    assert run_casts({}, print) == 0


def test_casts_follow_the_sync_and_do_not_undo_its_success(
    warehouse: Postgres, client: SyncPrefectClient, logged: list[str]
) -> None:
    with airbyte_server() as airbyte:
        airbyte.statuses = ["succeeded"]
        server = AirbyteServer(server_host="127.0.0.1", server_port=airbyte.service.port, password=AIRBYTE_PASSWORD)
        server.save("cast-server", overwrite=True)
        block = AirbyteConnection(airbyte_server=server, connection_id="c3", extra=extra(ODD))
        block.save("c3", overwrite=True)
        task = {"type": "Airbyte Connection", "slug": "airbyte-sync", "connection_id": "c3", "seq": 1}
        state = deployment_schedule_flow_v5({"tasks": [task]}, return_state=True)
        assert state.is_completed(), state.message
        assert types(warehouse)[0] == "numeric"
        assert subflows(client, state, depth=2) == [("airbyte-sync", "Completed"), ("post-sync-ops", "Completed")]

        block.extra = extra(cast("absent", a="text"))
        block.save("c3", overwrite=True)
        state = deployment_schedule_flow_v5({"tasks": [task]}, return_state=True)
    assert state.is_completed(), state.message
    assert subflows(client, state, depth=2) == [("airbyte-sync", "Completed"), ("post-sync-ops", "Failed")]
    assert any("the sync succeeded, but not all of its casts did" in line for line in logged)
    assert PASSWORD not in "\n".join(logged)


class BigQuery:
    """The parts of BigQuery's API that its client uses here: a token, tables, a query."""

    def __init__(self) -> None:
        self.service: Service
        self.tables: dict[str, dict[str, Any]] = {}
        self.queries: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/token":
            return 200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        place, _, name = path.partition("/datasets/raw/tables/")
        if method == "GET" and name:
            reference = {"projectId": "p1", "datasetId": "raw", "tableId": name}
            table = self.tables.get(name)
            return (200, {**table, "tableReference": reference}) if table else (404, {"error": {"message": "no table"}})
        if method == "POST" and place.endswith("/jobs"):
            self.queries.append(body["configuration"]["query"]["query"])
            job = {**body, "status": {"state": "DONE"}, "configuration": {"jobType": "QUERY", **body["configuration"]}}
            return 200, job
        if method == "GET" and "/queries/" in path:
            job = {"projectId": "p1", "jobId": path.rpartition("/")[2]}
            return 200, {"jobReference": job, "jobComplete": True, "totalRows": "0", "schema": {"fields": []}}
        return 404, {"error": {"message": f"{method} {path}"}}


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQuery]:
    fake = BigQuery()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with serve(fake.answer) as fake.service:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.service.url)
        creds = {"type": "service_account", "project_id": "p1", "private_key_id": "k", "private_key": pem}
        creds |= {"client_email": "me@p1.example.org", "token_uri": f"{fake.service.url}/token"}
        save_secret("cast-warehouse", json.dumps({"wtype": "bigquery", "creds": creds, "extras": {"location": "EU"}}))
        yield fake


def fields(**columns: str) -> dict[str, Any]:
    return {"fields": [{"name": name, "type": type_} for name, type_ in columns.items()]}


def test_a_bigquery_table_is_made_anew_with_its_partitions_and_clusters(bigquery: BigQuery) -> None:
    columns = fields(_airbyte_extracted_at="TIMESTAMP", amount="STRING", n="INTEGER", **{"o`dd": "STRING"})
    bigquery.tables["orders"] = {
        "schema": columns,
        "timePartitioning": {"type": "DAY", "field": "_airbyte_extracted_at"},
        "clustering": {"fields": ["_airbyte_extracted_at", "id"]},
    }
    op = cast("orders", amount="numeric", n="bigint", **{"o`dd": "boolean"})
    log: list[str] = []
    assert run_casts(extra(op), log.append) == 1
    assert bigquery.queries == [
        "CREATE OR REPLACE TABLE `p1`.`raw`.`orders`\n"
        "PARTITION BY DATE(`_airbyte_extracted_at`)\n"
        "CLUSTER BY `_airbyte_extracted_at`, `id`\n"
        "AS SELECT * REPLACE (CAST(`amount` AS NUMERIC) AS `amount`, CAST(`o\\`dd` AS BOOL) AS `o\\`dd`)"
        " FROM `p1`.`raw`.`orders`"
    ]
    assert log == ["raw.orders: cast amount to numeric, o`dd to boolean"]


@pytest.mark.parametrize(
    ("type_", "partitioning", "expected"),
    [
        ("TIMESTAMP", {"type": "HOUR", "field": "at"}, "TIMESTAMP_TRUNC(`at`, HOUR)"),
        ("DATETIME", {"type": "MONTH", "field": "at"}, "DATETIME_TRUNC(`at`, MONTH)"),
        ("DATE", {"type": "DAY", "field": "at"}, "`at`"),
    ],
)
def test_partitions_by_other_units(
    bigquery: BigQuery, type_: str, partitioning: dict[str, str], expected: str
) -> None:
    bigquery.tables["orders"] = {"schema": fields(at=type_, a="STRING"), "timePartitioning": partitioning}
    run_casts(extra(cast("orders", a="integer")), print)
    assert f"\nPARTITION BY {expected}\n" in bigquery.queries[0]


def test_a_bigquery_table_that_needs_nothing_is_not_made_anew(bigquery: BigQuery) -> None:
    bigquery.tables["orders"] = {"schema": fields(a="NUMERIC", b="BOOLEAN", c="INTEGER")}
    assert run_casts(extra(cast("orders", a="numeric", b="boolean", c="integer")), print) == 0
    assert bigquery.queries == []


def test_partitions_that_would_be_lost_are_a_failure(bigquery: BigQuery) -> None:
    bigquery.tables["loaded"] = {"schema": fields(a="STRING"), "timePartitioning": {"type": "DAY"}}
    bigquery.tables["ranged"] = {"schema": fields(a="STRING"), "rangePartitioning": {"field": "n", "range": {}}}
    with pytest.raises(TaskFailed) as caught:
        run_casts(extra(cast("loaded", a="date"), cast("ranged", a="date"), cast("absent", a="date")), print)
    lost = "it is partitioned by ranges or by the time of loading, which a cast would lose"
    assert str(caught.value).startswith(f"3 of 3 tables could not be cast: raw.loaded: {lost}; raw.ranged: {lost}; ")
    assert "raw.absent: 404" in str(caught.value)
    assert bigquery.queries == []


def test_a_missing_driver_is_named(bigquery: BigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bigquery_casts", None)
    with pytest.raises(TaskFailed, match="casts on bigquery need a driver: install the flows' extra 'bigquery'"):
        run_casts(extra(cast("orders", a="date")), print)
