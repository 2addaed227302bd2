"""A web server of ours on loopback: gives pictures, takes webhooks, and misbehaves when it is told to."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from .tap import expect, until


@dataclass
class Hook:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Page:
    status: int = 200
    body: bytes = b""
    kind: str = "image/png"
    headers: dict[str, str] = field(default_factory=dict)
    act: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None  # does everything itself


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


class Receiver:
    """`pages`: what GET gives. `answers`: for a webhook path, the statuses of its next answers (then 200)."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.hooks: list[Hook] = []
        self.answers: dict[str, list[int]] = {}
        self.hold = threading.Event()  # POSTs to /held... wait for it
        self.running = False
        self.port = 0
        self.start()

    def start(self) -> None:
        """Also again after stop(), on the same port."""
        self.http = QuietServer(("127.0.0.1", self.port), self.handler())
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.running = True

    def stop(self) -> None:
        if self.running:
            self.running = False
            self.hold.set()
            self.http.shutdown()
            self.http.server_close()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def give(self, path: str, body: bytes = b"", **more: Any) -> str:
        self.pages[path] = Page(body=body, **more)
        return self.url(path)

    def hooks_at(self, path: str) -> list[Hook]:
        return [hook for hook in self.hooks if hook.path == path]

    def wait_hooks(self, path: str, count: int = 1, seconds: float = 20.0) -> list[Hook]:
        return until(
            lambda: self.hooks_at(path) if len(self.hooks_at(path)) >= count else None, f"{count} webhooks at {path}", seconds
        )

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                receiver.asked.append(self.path)
                page = receiver.pages.get(self.path, Page(404, b"nothing here", "text/plain"))
                if page.act:
                    page.act(self)
                    return
                self.send_response(page.status)
                self.send_header("Content-Type", page.kind)
                self.send_header("Content-Length", str(len(page.body)))
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(page.body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.hooks.append(Hook(self.path, headers, body, time.time()))
                if self.path.startswith("/held"):
                    receiver.hold.wait(60)
                status = (receiver.answers.get(self.path) or [200]).pop(0)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        return Handler


def signature(secret: str, hook_id: str, timestamp: str, body: bytes) -> str:
    """The documented recipe: what follows the prefix, as it stands, is the key."""
    key = secret.removeprefix("whsec_").encode()
    return "v3," + hmac.new(key, f"{hook_id}.{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def verify(hook: Hook, secret: str, now: float | None = None) -> None:
    """As a careful receiver does: header, age, signature."""
    given = hook.headers.get("webhook-signature", "")
    timestamp = hook.headers.get("webhook-timestamp", "")
    expect(given.startswith("v3,") and given.count(",") == 1, f"webhook-signature is {given!r}")
    expect(timestamp.isdigit(), f"webhook-timestamp is {timestamp!r}")
    age = (hook.at if now is None else now) - int(timestamp)
    expect(abs(age) <= 300, f"webhook-timestamp is {age:.0f} s off")
    wanted = signature(secret, hook.headers.get("webhook-id", ""), timestamp, hook.body)
    expect(hmac.compare_digest(given, wanted), f"the signature is {given}, the recipe gives {wanted}")
