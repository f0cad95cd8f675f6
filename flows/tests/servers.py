"""Small HTTP servers that stand in for others' services, and tell what they were asked."""

import json
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Reply = tuple[int, Any]


class Service:
    """Where a server listens, and what it saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.calls: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []


@contextmanager
def serve(answer: Callable[[str, str, Any], Reply]) -> Iterator[Service]:
    """Answer requests by `answer(method, path, body or query)`: a status and JSON, bytes or nothing."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            raw = self.rfile.read(length)
            url = urlsplit(self.path)
            if "json" in (self.headers.get("content-type") or ""):
                body: Any = json.loads(raw)
            else:
                body = dict(parse_qsl(url.query)) or raw.decode() or None
            service.headers.append({name.lower(): value for name, value in self.headers.items()})
            service.calls.append((self.command, url.path, body))
            status, content = answer(self.command, url.path, body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            if status == 401:
                self.send_header("www-authenticate", 'Basic realm="test"')
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _reply

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = Service(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield service
        server.shutdown()
        thread.join()


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def all_arguments() -> str:
    """The arguments of every process of the machine, as any user sees them."""
    return subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout


def static_file(root: Path, path: str) -> Reply:
    file = root / path.lstrip("/")
    return (200, file.read_bytes()) if file.is_file() else (404, None)
