"""Block documents as the facade makes them for hosts."""

from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from pydantic import SecretStr


class AirbyteServer(Block):
    _block_type_name = "Airbyte Server"
    _block_type_slug = "airbyte-server"

    username: str = "airbyte"
    password: SecretStr = SecretStr("password")
    server_host: str = "localhost"
    server_port: int = 8000
    api_version: str = "v1"
    use_ssl: bool = False


class AirbyteConnection(Block):
    _block_type_name = "Airbyte Connection"
    _block_type_slug = "airbyte-connection"

    airbyte_server: AirbyteServer
    connection_id: str
    timeout: int = 5
    extra: dict = {}


def save_secret(name: str, value: object) -> None:
    Secret(value=value).save(name, overwrite=True)
