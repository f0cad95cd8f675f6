"""A PostgreSQL server of the tests' own: TLS only, with a password that tools are tempted to read as something else."""

import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "s3cret {{ 1 + 1 }} '\"\\ #%s: x"
HBA = """local all all scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@dataclass
class Postgres:
    """How to get in, as a host's Secret block says it."""

    port: int
    certificate: str

    @property
    def creds(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "username": "postgres",
            "password": PASSWORD,
            "database": "postgres",
            "schema": "of_the_sync",
            "sslmode": "verify-ca",
            "sslrootcert": None,
            "sslrootcert_content": self.certificate,
        }

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        options = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "password": PASSWORD}
        with psycopg.connect(**options, dbname="postgres", sslmode="require") as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def find_postgres() -> Path | None:
    """The folder of the server's programs: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)


@contextmanager
def run_postgres(programs: Path) -> Iterator[Postgres]:
    # Not in pytest's folder, which other users can't enter; and the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="flows-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    key, certificate = _certificate()
    data = folder / "data"
    try:
        (folder / "password").write_text(PASSWORD + "\n")
        if user:
            shutil.chown(folder, user)
        make = [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            [*make, "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"],
            check=True, user=user, cwd="/", stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for name, text in (("server.key", key), ("server.crt", certificate), ("pg_hba.conf", HBA)):
            path = data / name
            path.write_text(text)
            path.chmod(0o600)
            if user:
                shutil.chown(path, user)
        port = _free_port()
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
        settings |= {"ssl": "on", "fsync": "off", "log_min_messages": "fatal"}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], user=user, cwd="/")
        try:
            postgres = Postgres(port, certificate)
            _wait_until_ready(server, postgres)
            yield postgres
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(server: subprocess.Popen[bytes], postgres: Postgres) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            postgres.query("SELECT 1")
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _certificate() -> tuple[str, str]:
    """(key, certificate that signs itself) for 127.0.0.1"""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()
