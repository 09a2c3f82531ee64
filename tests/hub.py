"""A small local server that responds to the two kinds of requests that the Hub client sends, because tests
can't reach the Hub."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = "0" * 40
PAIR = {"prompt": "Q", "chosen": "a", "rejected": "b"}
FILES = {
    "README.md": b"# card",
    "data/train-00000-of-00002.jsonl": json.dumps(PAIR).encode(),
    "data/train-00001-of-00002.jsonl": json.dumps({**PAIR, "prompt": "R"}).encode(),
    "data/same.jsonl": json.dumps({**PAIR, "prompt": "S"}).encode(),
    "data/test.jsonl": json.dumps({**PAIR, "prompt": "S"}).encode(),
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/api/datasets/people/pairs":
            files = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
            self._answer(json.dumps({"id": "people/pairs", "sha": COMMIT, "siblings": files}).encode())
        elif path.startswith(held := f"/datasets/people/pairs/resolve/{COMMIT}/"):
            self._answer(FILES[path.removeprefix(held)])
        else:
            self._answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815 (required by http.server)

    def _answer(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub_server() -> Iterator[str]:
    """The address of a server with the dataset people/pairs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
