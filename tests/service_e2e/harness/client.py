"""HTTP as the tests speak it: one request a connection, answers with their JSON, and raw bytes where it matters."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from .tap import expect

MULTI = "wavespeed-ai/flux-kontext-dev/multi"
ULTRA_FAST = "wavespeed-ai/flux-kontext-dev/multi-ultra-fast"
SINGLE = "wavespeed-ai/flux-kontext-dev"
MODELS = (MULTI, ULTRA_FAST, SINGLE)

# A job of a few milliseconds, and one that a test can catch while it runs.
QUICK: dict[str, Any] = {"prompt": "a red roof", "size": "64*64", "num_inference_steps": 1, "seed": 7}
SLOW: dict[str, Any] = {"prompt": "a slow one", "size": "512*512", "num_inference_steps": 50, "num_images": 4, "seed": 7}

# One whose steps can be watched.
STEPPED: dict[str, Any] = {"prompt": "stepped", "size": "128*128", "num_inference_steps": 25, "seed": 5}

# A picture that cannot be fetched: nobody listens there.
NOWHERE = "http://127.0.0.1:9/none.png"

ENDED = ("completed", "failed", "cancelled", "timeout", "deleted")


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    asked: str

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AssertionError(f"{self.asked}: no JSON ({error}) in {self.status} {self.body[:300]!r}") from None

    def ok(self) -> "Reply":
        expect(self.status == 200, f"{self.asked}: HTTP {self.status} {self.body[:500]!r}")
        return self

    @property
    def data(self) -> Any:
        """`data` of a success, after a look at its envelope."""
        envelope = self.ok().json()
        expect(isinstance(envelope, dict), f"{self.asked}: the envelope is {envelope!r:.200}")
        expect(type(envelope.get("code")) is int and envelope["code"] == 200, f"{self.asked}: code is {envelope.get('code')!r}")
        expect(isinstance(envelope.get("message"), str), f"{self.asked}: message is {envelope.get('message')!r}")
        expect("error" not in envelope, f"{self.asked}: a success has the key 'error'")
        kind = self.headers.get("Content-Type", "")
        expect(kind.split(";")[0].strip() == "application/json", f"{self.asked}: Content-Type is {kind!r}")
        return envelope["data"]


class Client:
    def __init__(self, base: str, key: str | None = None):
        self.base = base.rstrip("/")
        parts = urllib.parse.urlsplit(base)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.key = key

    def with_key(self, key: str | None) -> "Client":
        return Client(self.base, key)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Reply:
        """`body`: bytes go out as they are, anything else as JSON. `path`: also an absolute URL of this server."""
        if path.startswith("http"):
            expect(path.startswith(self.base + "/"), f"{path} is not under {self.base}")
            path = path[len(self.base) :]
        sent = dict(headers or {})
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read(), f"{method} {path}")
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Reply:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: Any) -> Reply:
        return self.request("POST", path, body, headers, **more)

    # ---- The contract ----

    def submit(self, params: Any, model: str = MULTI, query: str = "", **more: Any) -> Any:
        return self.post(f"/api/v3/{model}{query}", params, **more).data

    def result(self, prediction: str, query: str = "") -> Any:
        return self.get(f"/api/v3/predictions/{prediction}/result{query}").data

    def wait(self, prediction: str, seconds: float = 30.0, status: str | tuple[str, ...] = ENDED) -> Any:
        wanted = (status,) if isinstance(status, str) else status
        end = time.monotonic() + seconds
        while True:
            data = self.result(prediction)
            if data["status"] in wanted:
                return data
            expect(data["status"] not in ENDED, f"{prediction} ended as {data['status']}: {data.get('error')!r}")
            expect(time.monotonic() < end, f"{prediction} is {data['status']} after {seconds:g} s, expected {wanted}")
            time.sleep(0.02)

    def run(self, params: Any, model: str = MULTI, seconds: float = 30.0) -> Any:
        """A completed job's result."""
        return self.wait(self.submit(params, model)["id"], seconds, "completed")

    def download(self, url: str) -> bytes:
        """An output or upload, without a key."""
        return self.with_key(None).get(url).ok().body

    def outputs(self, prediction: Any) -> list[bytes]:
        return [self.download(url) for url in prediction["outputs"]]

    def balance(self) -> float:
        return self.get("/api/v3/balance").data["balance"]

    def upload(self, data: bytes, name: str = "picture.png") -> str:
        return self.post("/api/v3/media/upload/binary", *multipart(data, name)).data["download_url"]

    # ---- Below HTTP ----

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def raw(self, data: bytes, timeout: float = 20.0, shut: bool = False) -> bytes:
        """Everything that the server says to these bytes until it closes or is silent for `timeout`."""
        with self.connect(timeout) as connection:
            heard = b""
            try:
                connection.sendall(data)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                while True:
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    heard += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return heard

    def events(self, path: str, headers: Mapping[str, str] | None = None, timeout: float = 30.0) -> "Events":
        return Events(self, path, dict(headers or {}), timeout)


def multipart(data: bytes, name: str, field: str = "file", kind: str | None = "image/png") -> tuple[bytes, dict[str, str]]:
    """(body, headers) of an upload form, for Client.post(path, *multipart(...))."""
    mark = "----kontext-test-boundary"
    head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    if kind:
        head += f"Content-Type: {kind}\r\n"
    body = head.encode() + b"\r\n" + data + f"\r\n--{mark}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={mark}"}


@dataclass
class Event:
    id: str
    name: str
    data: str

    def json(self) -> Any:
        return json.loads(self.data)


class Events:
    """A stream of server-sent events, as an iterator."""

    def __init__(self, client: Client, path: str, headers: dict[str, str], timeout: float):
        self.connection = http.client.HTTPConnection(client.host, client.port, timeout=timeout)
        if client.key is not None:
            headers.setdefault("Authorization", f"Bearer {client.key}")
        headers.setdefault("Accept", "text/event-stream")
        if path.startswith(client.base):
            path = path[len(client.base) :]
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.content_type = self.answer.headers.get("Content-Type", "")

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self.connection.close()

    def __iter__(self) -> Iterator[Event]:
        found = {"id": "", "event": "message"}
        data: list[str] = []
        while line := self.answer.readline():
            text = line.decode().rstrip("\r\n")
            if not text:
                if data:
                    yield Event(found["id"], found["event"], "\n".join(data))
                found["event"] = "message"
                data = []
            elif not text.startswith(":"):
                name, _, value = text.partition(":")
                value = value.removeprefix(" ")
                if name == "data":
                    data.append(value)
                elif name in found:
                    found[name] = value
