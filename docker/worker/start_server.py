"""Starts the Prefect server on the database that DB_CONNECTION_URL names; it brings the tables up to date itself."""

import os
import sys
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

DRIVER = "postgresql+asyncpg"


def database_url(given: str) -> str:
    """The address as Prefect wants it, from any of the usual forms. Raises ValueError, without the address in it."""
    try:
        parts = urlsplit(given)
    except ValueError:
        raise ValueError("DB_CONNECTION_URL is not an address") from None
    if parts.scheme.split("+")[0] not in ("postgres", "postgresql"):
        raise ValueError("DB_CONNECTION_URL must begin with postgresql://")
    if not parts.hostname or not parts.path.strip("/"):
        raise ValueError("DB_CONNECTION_URL must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    # libpq's name for it, which asyncpg refuses.
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return urlunsplit((DRIVER, parts.netloc, parts.path, urlencode(query), ""))


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the server is started with. Raises ValueError where there is no usable DB_CONNECTION_URL."""
    env = dict(given)
    url = env.pop("DB_CONNECTION_URL", "").strip()
    if not url:
        raise ValueError("DB_CONNECTION_URL is not set: the PostgreSQL database of the Prefect server")
    env["PREFECT_API_DATABASE_CONNECTION_URL"] = database_url(url)
    return env


def main() -> None:
    try:
        env = environment(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    # On its port 4200, unless PREFECT_SERVER_API_PORT says otherwise.
    env.setdefault("PREFECT_SERVER_API_HOST", "0.0.0.0")
    os.execvpe("prefect", ["prefect", "server", "start"], env)


if __name__ == "__main__":
    main()
