"""Airbyte tasks against a small fake of its API."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_server import PASSWORD, AirbyteFake, airbyte_server
from blocks import AirbyteConnection, AirbyteServer
from conftest import flow_run, shell_task, subflows, wait_until
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State

import airbyte_api
import airbyte_tasks
from airbyte_tasks import run_airbyte
from pipeline import deployment_schedule_flow_v5
from task_failed import TaskFailed


@pytest.fixture
def airbyte(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirbyteFake]:
    monkeypatch.setattr(airbyte_tasks, "FIRST_POLL", 0.01)
    monkeypatch.setattr(airbyte_api, "FIRST_RETRY", 0.01)
    with airbyte_server() as fake:
        server_block(fake).save("airbyte-server-1", overwrite=True)
        yield fake


def server_block(fake: AirbyteFake, password: str = PASSWORD) -> AirbyteServer:
    return AirbyteServer(server_host="127.0.0.1", server_port=fake.service.port, password=password)


def airbyte_task(slug: str = "airbyte-sync", connection_id: str = "c1", seq: float = 1, **more: Any) -> dict[str, Any]:
    """One task as hosts write it."""
    return {
        "type": "Airbyte Connection",
        "slug": slug,
        "seq": seq,
        "airbyte_server_block": "airbyte-server-1",
        "connection_id": connection_id,
        "timeout": 15,
        **more,
    }


def run(*tasks: dict[str, Any], **config: Any) -> State:
    return deployment_schedule_flow_v5({"tasks": list(tasks), **config}, return_state=True)


def test_a_sync_is_followed_to_its_end(airbyte: AirbyteFake) -> None:
    log: list[str] = []
    result = run_airbyte(airbyte_task(), log.append)
    assert result == {"job_id": 41, "job_status": "succeeded", "rows_synced": 7, "bytes_synced": 512}
    assert airbyte.asked("public/v1/jobs") == [{"jobType": "sync", "connectionId": "c1"}]
    assert len(airbyte.asked("public/v1/jobs/41", "GET")) == 4
    assert log == [
        "Airbyte job 41 of the connection c1",
        "Airbyte job 41 is pending",
        "Airbyte job 41 is running",
        "Airbyte job 41 is incomplete",
        "Airbyte job 41 succeeded: 7 rows, 512 bytes",
    ]


def test_tasks_are_runs_as_hosts_know_them(airbyte: AirbyteFake, client: SyncPrefectClient) -> None:
    airbyte.catalog = {"catalogDiff": None, "syncCatalog": {"streams": []}}
    state = run(
        airbyte_task(seq=1),
        airbyte_task("airbyte-clear", seq=2),
        airbyte_task("airbyte-clear", streams=[{"streamName": "a", "streamNamespace": None}], seq=3),
        airbyte_task("update-schema", catalog_diff={}, seq=4),
        airbyte_task("airbyte-reset", seq=5),
        airbyte_task("airbyte-reset", streams=[{"streamName": "a"}], seq=6),
    )
    assert state.is_completed(), state.message
    clear = "airbyte-clear-trigger"
    names = ["airbyte-sync-trigger", clear, clear, "airbyte-update-schema-trigger", clear, clear]
    assert subflows(client, state) == [(name, "Completed") for name in names]
    inner = ["airbyte-sync", "airbyte-clear", "airbyte-clear-streams", "airbyte-update-schema"]
    inner += ["airbyte-clear", "airbyte-clear-streams"]
    assert [name for name, _ in subflows(client, state, depth=2)] == inner


def test_clear_with_and_without_streams(airbyte: AirbyteFake) -> None:
    run_airbyte(airbyte_task("airbyte-clear"), print)
    streams = [{"streamName": "a", "streamNamespace": None, "x": 1}, {"streamName": "b", "streamNamespace": "public"}]
    run_airbyte(airbyte_task("airbyte-clear", streams=streams), print)
    assert airbyte.asked("v1/connections/clear") == [{"connectionId": "c1"}]
    sent = [{"streamName": "a"}, {"streamName": "b", "streamNamespace": "public"}]
    assert airbyte.asked("v1/connections/clear/stream") == [{"connectionId": "c1", "streams": sent}]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_does_not_succeed_fails_the_run(
    airbyte: AirbyteFake, client: SyncPrefectClient, tmp_path: Path, status: str
) -> None:
    airbyte.statuses = ["running", status]
    failures = [{"externalMessage": "The source is away"}, {"externalMessage": None}]
    airbyte.failure = {"attempts": [{}, {"attempt": {"failureSummary": {"failures": failures}}}]}
    state = run(airbyte_task(), shell_task(tmp_path, "touch after", seq=2))
    assert state.is_failed()
    assert state.message == f"task 'airbyte-sync': Airbyte job 41 {status}: The source is away"
    assert subflows(client, state) == [("airbyte-sync-trigger", "Failed")]
    assert not (tmp_path / "after").exists()


def test_trouble_of_the_server_is_waited_out(airbyte: AirbyteFake) -> None:
    airbyte.trouble = {
        "POST /api/v1/connections/get": [503, 500],
        "POST /api/public/v1/jobs": [502],
        "GET /api/public/v1/jobs": [500],
        "GET /api/public/v1/jobs/41": [None, 500, 429, 504],
    }
    assert run_airbyte(airbyte_task(), print)["job_status"] == "succeeded"
    assert len(airbyte.jobs) == 1


def test_a_start_without_an_answer_is_not_a_second_job(airbyte: AirbyteFake) -> None:
    airbyte.trouble = {"POST /api/public/v1/jobs": [504]}
    airbyte.acts_in_trouble = True
    assert run_airbyte(airbyte_task(), print)["job_id"] == 41
    assert len(airbyte.asked("public/v1/jobs")) == 1
    query = {"connectionId": "c1", "jobType": "sync", "orderBy": "createdAt|DESC", "limit": "1"}
    assert airbyte.asked("public/v1/jobs", "GET") == [query]


def test_a_server_that_stays_away_fails_the_task(airbyte: AirbyteFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airbyte_api, "MAX_OUTAGE", 0.2)
    airbyte.trouble = {"GET /api/public/v1/jobs/41": [503] * 99}
    with pytest.raises(TaskFailed, match=r"^Airbyte's GET /api/public/v1/jobs/41 answered 503$"):
        run_airbyte(airbyte_task(), print)


@pytest.mark.parametrize(
    ("connection_id", "trouble", "message"),
    [
        ("off", {}, "the Airbyte connection off is inactive: switch it on in Airbyte first"),
        ("gone", {}, "Airbyte's POST /api/v1/connections/get answered 404: Could not find configuration"),
        ("c1", {"POST /api/public/v1/jobs": [409]}, "Airbyte's POST /api/public/v1/jobs answered 409: trouble 409"),
    ],
)
def test_a_refusal_fails_the_task_at_once(
    airbyte: AirbyteFake, connection_id: str, trouble: dict[str, list[int | None]], message: str
) -> None:
    airbyte.trouble = trouble
    with pytest.raises(TaskFailed) as caught:
        run_airbyte(airbyte_task(connection_id=connection_id), print)
    assert str(caught.value) == message
    assert airbyte.jobs == {}


def test_a_wrong_password_is_named_and_not_shown(airbyte: AirbyteFake, logged: list[str]) -> None:
    server_block(airbyte, "wr0ng-s3cret").save("airbyte-server-1", overwrite=True)
    state = run(airbyte_task())
    assert "answered 401: it refuses the user name and password of the server's block" in (state.message or "")
    assert "s3cret" not in "\n".join([*logged, state.message or ""])


def test_the_server_is_that_of_the_connections_own_block(airbyte: AirbyteFake) -> None:
    block = AirbyteConnection(airbyte_server=server_block(airbyte), connection_id="c2", extra={"name": "n"})
    block.airbyte_server.save("airbyte-server-2", overwrite=True)
    block.save("c2", overwrite=True)
    assert run_airbyte(airbyte_task(connection_id="c2", airbyte_server_block="absent"), print)["job_id"] == 41
    with pytest.raises(TaskFailed, match="there is no Airbyte server block named 'absent'"):
        run_airbyte(airbyte_task(airbyte_server_block="absent"), print)


DIFF = {"transforms": [{"transformType": "update_stream", "streamDescriptor": {"name": "a", "namespace": "public"}}]}


def test_the_schema_is_updated_with_the_sources_present_one(airbyte: AirbyteFake) -> None:
    catalog = {"streams": [{"stream": {"name": "a"}, "config": {"selected": True}}]}
    airbyte.catalog = {"catalogDiff": DIFF, "catalogId": "cat-2", "syncCatalog": catalog, "name": "untouched"}
    result = run_airbyte(airbyte_task("update-schema", catalog_diff=DIFF), print)
    assert result == {"changed_streams": ["a"]}
    asked = {"connectionId": "c1", "withRefreshedCatalog": True}
    assert airbyte.asked("v1/web_backend/connections/get") == [asked]
    changes = {"connectionId": "c1", "syncCatalog": catalog, "sourceCatalogId": "cat-2", "skipReset": True}
    assert airbyte.asked("v1/web_backend/connections/update") == [changes]


def test_a_schema_that_has_changed_again_is_left_alone(airbyte: AirbyteFake) -> None:
    airbyte.catalog = {"catalogDiff": {"transforms": []}, "syncCatalog": {"streams": []}}
    with pytest.raises(TaskFailed, match="the source's schema has changed again since this update was asked for"):
        run_airbyte(airbyte_task("update-schema", catalog_diff=DIFF), print)
    assert airbyte.asked("v1/web_backend/connections/update") == []


def test_with_continue_on_sync_failure_all_syncs_are_tried_and_nothing_after(
    airbyte: AirbyteFake, client: SyncPrefectClient, tmp_path: Path
) -> None:
    airbyte.by_connection = {"c1": ["failed"], "c3": ["cancelled"]}
    tasks = [
        airbyte_task(connection_id="c1", seq=2),
        shell_task(tmp_path, "touch transformed", seq=3),
        airbyte_task(connection_id="c4", seq=4),
        airbyte_task(connection_id="c3", seq=5),
    ]
    airbyte.connections["c4"] = "active"
    state = run(*tasks, continue_on_sync_failure=True)
    assert state.is_failed()
    assert state.message == (
        "2 of 3 syncs failed: task 'airbyte-sync': Airbyte job 41 failed; task 'airbyte-sync': Airbyte job 43 cancelled"
    )
    assert [name for _, name in subflows(client, state)] == ["Failed", "Completed", "Failed"]
    assert not (tmp_path / "transformed").exists()


def test_with_continue_on_sync_failure_the_rest_follows_syncs_that_succeed(
    airbyte: AirbyteFake, client: SyncPrefectClient, tmp_path: Path
) -> None:
    state = run(shell_task(tmp_path, "touch transformed", seq=1), airbyte_task(seq=2), continue_on_sync_failure=True)
    assert state.is_completed(), state.message
    assert [name for name, _ in subflows(client, state)] == ["airbyte-sync-trigger", "shellop-work"]
    assert (tmp_path / "transformed").exists()


def test_a_cancelled_run_cancels_its_job(airbyte: AirbyteFake) -> None:
    airbyte.statuses = ["running"]
    config = json.dumps({"tasks": [airbyte_task()]})
    with flow_run(config) as process:
        assert wait_until(lambda: bool(airbyte.asked("public/v1/jobs/41", "GET")), 30)
        process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: bool(airbyte.asked("v1/jobs/cancel")), 15)
        assert airbyte.asked("v1/jobs/cancel") == [{"id": 41}]
