"""The warehouse that a Secret block describes: `{wtype, default_schema, creds, extras}`, as dbt and drivers want it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from private_folder import write_private
from redaction import secrets_in
from secret_blocks import read_secret_object
from task_failed import TaskFailed

SECRET_BLOCK = "dbt-profile-secret-block"
POSTGRES = "postgres"
BIGQUERY = "bigquery"
THREADS = 4
# dbt-postgres's own fields. Hosts store the whole of Airbyte's destination settings, tunnels and JDBC included.
POSTGRES_FIELDS = (
    "host",
    "port",
    "user",
    "password",
    "database",
    "connect_timeout",
    "retries",
    "role",
    "search_path",
    "keepalives_idle",
    "application_name",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
)


@dataclass
class Warehouse:
    """Where a host's data lives, and how to get in."""

    wtype: str
    creds: dict[str, Any] = field(repr=False)
    schema: str | None = None
    extras: dict[str, Any] = field(default_factory=dict, repr=False)

    def secrets(self) -> list[str]:
        """The texts that no log may show."""
        return [*secrets_in(self.creds), *secrets_in(self.extras)]

    def output(self, folder: Path) -> dict[str, Any]:
        """One output of a dbt profile. Writes the root certificate to `folder` where there is one."""
        base = {"type": self.wtype, "schema": self.schema, "threads": THREADS}
        if self.wtype == POSTGRES:
            return {**base, **self.postgres(folder), **self.extras}
        # `project` is needed at the top: without it dbt looks for the machine's own credentials.
        account = {"method": "service-account-json", "project": self.creds.get("project_id")}
        return {**base, **account, "keyfile_json": self.creds, **self.extras}

    def postgres(self, folder: Path) -> dict[str, Any]:
        """The connection's fields by dbt's names. Writes the root certificate to `folder` where there is one."""
        creds = {**self.creds, **_ssl(self.creds)}
        creds.setdefault("user", creds.get("username"))
        creds.setdefault("database", creds.get("dbname"))
        if creds.get("sslrootcert_content"):
            certificate = folder / "root.pem"
            if not certificate.exists():
                write_private(certificate, creds["sslrootcert_content"])
            creds["sslrootcert"] = str(certificate)
        fields = {name: creds[name] for name in POSTGRES_FIELDS if creds.get(name) not in (None, "")}
        if str(fields.get("port", "")).isdecimal():
            fields["port"] = int(fields["port"])
        return fields


def load_warehouse(env: dict[str, Any] | None) -> Warehouse:
    """The warehouse of the Secret block that a task's env names. Raises TaskFailed, which holds no value of it."""
    block = (env or {}).get(SECRET_BLOCK)
    if not block:
        raise TaskFailed(f"env must name the warehouse's Secret block under {SECRET_BLOCK!r}")
    value = read_secret_object(block, "wtype", "creds")
    if value["wtype"] not in (POSTGRES, BIGQUERY):
        raise TaskFailed(f"the Secret block {block!r} is for an unknown kind of warehouse: {value['wtype']!r}")
    extras = value.get("extras") or {}
    if not isinstance(value["creds"], dict) or not isinstance(extras, dict):
        raise TaskFailed(f"the Secret block {block!r}: 'creds' and 'extras' must be objects")
    return Warehouse(value["wtype"], value["creds"], value.get("default_schema"), extras)


def _ssl(creds: dict[str, Any]) -> dict[str, Any]:
    """Airbyte's settings for TLS in libpq's words; a plain `ssl: false` counts more than a mode beside it."""
    if creds.get("ssl") is False:
        return {"sslmode": "disable"}
    mode = creds.get("ssl_mode")
    if not isinstance(mode, dict):
        return {}
    found = {"sslmode": mode.get("mode"), "sslrootcert_content": mode.get("ca_certificate")}
    return {name: value for name, value in found.items() if value}
