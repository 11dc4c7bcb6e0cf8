"""A service on this machine, which the agents of tests call by HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service(BaseHTTPRequestHandler):
    """Answers each request in JSON, as `answer` has it."""

    def answer(self, path: str, body: str) -> tuple[int, Any]:
        """The status and what is said."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        status, says = self.answer(self.path.partition("?")[0], body)
        content = json.dumps(says).encode()
        self.send_response(status)
        self.send_header("x-kind", "service")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  # http.server looks for it

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(kind: type[Service]) -> Iterator[str]:
    """Its address, while it runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
