"""Uses the Python client that was generated from /openapi.json as a host would: a secret, a run, polls to its end.

    python tests/client/check.py http://127.0.0.1:8080

The generated package `prefect_proxy_client` must be importable.
"""

import json
import sys
import time
import uuid

from prefect_proxy_client import Client
from prefect_proxy_client.api.blocks import delete_block
from prefect_proxy_client.api.deployments import create_deployment, delete_deployment, run_deployment
from prefect_proxy_client.api.flow_runs import poll_run
from prefect_proxy_client.api.secrets import create_secret, get_secret_contents
from prefect_proxy_client.models import DeploymentCreate, Secret

TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
suffix = uuid.uuid4().hex[:8]
org = f"client-{suffix}"
task = {"type": "Shell Operation", "slug": "hi", "commands": ["echo hi"], "working_dir": "/tmp", "env": {}, "seq": 1}

with Client(base_url=sys.argv[1], timeout=30) as client:
    secret = create_secret.sync(client=client, body=Secret(secret="s3cret", block_name=f"{org}-key"))
    contents = get_secret_contents.sync_detailed(blockname=f"{org}-key", client=client)
    assert json.loads(contents.content) == "s3cret"

    body = DeploymentCreate.from_dict(
        {
            "flow_name": "pipeline",
            "deployment_name": org,
            "org_slug": org,
            "deployment_params": {"config": {"org_slug": org, "tasks": [task]}},
        }
    )
    deployment = create_deployment.sync(client=client, body=body).deployment
    run = run_deployment.sync(deployment_id=deployment.id, client=client)
    deadline = time.monotonic() + 120
    while (state := poll_run.sync(flow_run_id=run.flow_run_id, client=client).state_type) not in TERMINAL:
        assert time.monotonic() < deadline, f"the run is still {state}"
        time.sleep(0.5)
    assert state == "COMPLETED", state

    delete_deployment.sync_detailed(deployment_id=deployment.id, client=client)
    delete_block.sync_detailed(block_id=secret.block_id, client=client)
    missing = poll_run.sync(flow_run_id="00000000-0000-4000-8000-000000000000", client=client)
    assert missing.code == "not_found", missing
print("1 secret made and read, 1 run polled to COMPLETED")
