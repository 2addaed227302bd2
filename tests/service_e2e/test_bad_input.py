"""Bad bodies: each row with its status, its code and its sentence; afterwards the server still works."""

from __future__ import annotations

import base64
import json
from typing import Any

from harness import pictures
from harness.client import MULTI, QUICK
from harness.contract import check_error
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect, until

suite = Suite("bad input", one_server)
SUBMIT = f"/api/v3/{MULTI}"
JSON = {"Content-Type": "application/json"}

# name, body, status, sentence
BODIES: list[tuple[str, bytes, int, str]] = [
    ("no body", b"", 400, "body|json|empty|prompt"),
    ("white space", b"  \n", 400, "body|json|empty"),
    ("not JSON", b"prompt=a", 400, "json"),
    ("half an object", b'{"prompt":"a"', 400, "json"),
    ("two objects", b'{"prompt":"a"}{"prompt":"b"}', 400, "json"),
    ("a comma too many", b'{"prompt":"a",}', 400, "json"),
    ("single quotes", b"{'prompt':'a'}", 400, "json"),
    ("an array", b"[]", 400, "object"),
    ("a string", b'"prompt"', 400, "object|json"),
    ("a number", b"3", 400, "object|json"),
    ("null", b"null", 400, "object|json"),
    ("NaN", b'{"prompt":"a","guidance_scale":NaN}', 400, "json"),
    ("Infinity", b'{"prompt":"a","guidance_scale":1e999}', 400, "json|guidance_scale"),
    ("an integer beyond 64 bits", b'{"prompt":"a","num_images":99999999999999999999999}', 400, "json|num_images"),
    ("not UTF-8", b'{"prompt":"caf\xe9"}', 400, "utf-8|json"),
    ("an overlong sequence", b'{"prompt":"\xc0\xaf"}', 400, "utf-8|json"),
    ("UTF-16", '{"prompt":"a"}'.encode("utf-16"), 400, "utf-8|json"),
    ("a lone surrogate", b'{"prompt":"\\ud800"}', 400, "utf-8|json|surrogate|unicode"),
    ("a zero character in the prompt", b'{"prompt":"a\\u0000b"}', 400, "json|prompt|zero|null|u0000"),
    ("a zero byte", b'{"prompt":"a\0b"}', 400, "json|control|prompt"),
    ("a key twice", b'{"prompt":"a","prompt":"b"}', 400, "twice|duplicate"),
    ("arrays 100000 deep", b'{"prompt":' + b"[" * 100000 + b"]" * 100000 + b"}", 400, "deep|nest|depth|json"),
    ("objects 1000 deep", b'{"a":' * 1000 + b"1" + b"}" * 1000, 400, "deep|nest|depth|json"),
]


def add_body(name: str, body: bytes, status: int, sentence: str) -> None:
    @suite.case(f"{name} as the body of a submit is {status}")
    def _(server: Server) -> None:
        check_error(server.api.post(SUBMIT, body, headers=JSON), status, sentence)


for row in BODIES:
    add_body(*row)


@suite.case("a body with a byte order mark is read or refused as JSON")
def _(server: Server) -> None:
    reply = server.api.post(SUBMIT, b"\xef\xbb\xbf" + json.dumps(QUICK).encode(), headers=JSON)
    expect(reply.status in (200, 400), f"HTTP {reply.status}")


@suite.case("a submit of another content type is refused or read as JSON, never a 500")
def _(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "multipart/form-data; boundary=x", "", "x" * 500):
        reply = server.api.post(SUBMIT, json.dumps(QUICK).encode(), headers={"Content-Type": kind})
        expect(reply.status in (200, 400, 415), f"{kind[:40]!r}: HTTP {reply.status}")


@suite.case("10000 unknown keys are dropped, with a bounded number of warnings")
def _(server: Server) -> None:
    data = server.api.submit({**QUICK, **{f"key{i}": i for i in range(10000)}})
    expect(0 < len(data["warnings"]) < 200, f"{len(data['warnings'])} warnings")
    server.api.wait(data["id"])


@suite.case("a prompt over the limit is refused")
def _(server: Server) -> None:
    check_error(server.api.post(SUBMIT, {**QUICK, "prompt": "a" * 5000000}), 400, "prompt")


@suite.case("a prompt of many words is cut to the model's tokens, not refused")
def _(server: Server) -> None:
    server.api.run({**QUICK, "prompt": "a red roof and " * 200})


@suite.case("an unknown model is the documented 400")
def _(server: Server) -> None:
    for model in ("wavespeed-ai/flux-dev", "nobody/nothing", "wavespeed-ai/flux-kontext-dev/multi/", "wavespeed-ai%2Fflux-kontext-dev%2Fmulti2",
                  "WAVESPEED-AI/FLUX-KONTEXT-DEV/MULTI", "x" * 2000, "wavespeed-ai/flux-kontext-dev/multi%00", "ß"):  # fmt: skip
        reply = server.api.post(f"/api/v3/{urlsafe(model)}", QUICK)
        expect(reply.status in (400, 404, 414), f"{model[:60]}: HTTP {reply.status}")
    check_error(server.api.post("/api/v3/wavespeed-ai/flux-dev", QUICK), 400, "product not found")


def urlsafe(text: str) -> str:
    return "".join(c if ord(c) < 128 else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


@suite.case("a model with a slash written as %2F is the model or unknown, never a 500")
def _(server: Server) -> None:
    expect(server.api.post("/api/v3/" + MULTI.replace("/", "%2F"), QUICK).status in (200, 400, 404), "the status")


@suite.case("a wrong method on a model's path is 405 or 404")
def _(server: Server) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"):
        reply = server.api.request(method, SUBMIT)
        expect(reply.status in (400, 404, 405, 501), f"{method}: HTTP {reply.status}")


# ---- Large ----


def announce(server: Server, path: str, length: int, sent: bytes = b"", expect_header: bool = False) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n" + ("Expect: 100-continue\r\n" if expect_header else "") + "\r\n"
    )
    return server.api.raw(head.encode() + sent, timeout=10)


@suite.case("a body that is announced as 300 MB is 413 before it is read")
def _(server: Server) -> None:
    for sent in (b"", b'{"prompt":"' + b"a" * 100000):
        answer = announce(server, SUBMIT, 300_000_000, sent)
        expect(answer.startswith(b"HTTP/1.1 413"), f"{answer[:200]!r}")
    answer = announce(server, SUBMIT, 300_000_000, expect_header=True)
    expect(answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 417")), f"with Expect: {answer[:200]!r}")
    answer = announce(server, SUBMIT, 2**63)
    expect(answer[9:12] in (b"400", b"413"), f"2^63 bytes: {answer[:200]!r}")


@suite.case("without a key a JSON body ends at 64 KiB")
def _(server: Server) -> None:
    for path in ("/api/v3/signin", "/center/default/api/v1/model_product/calculate"):
        for bytes_more, status in ((0, (200, 400, 401, 404, 422)), (1, (413,))):
            body = b'{"key":"' + b"a" * (64 * 1024 - 10 + bytes_more) + b'"}'
            reply = server.anyone.post(path, body, headers=JSON)
            expect(reply.status in status, f"{path}, {len(body)} bytes: HTTP {reply.status} {reply.body[:200]!r}")
    reply = server.api.post("/center/default/api/v1/model_product/calculate", b'{"a":"' + b"a" * 100_000 + b'"}', headers=JSON)
    expect(reply.status != 413, f"with a key: HTTP {reply.status} {reply.body[:200]!r}")


@suite.case("a body of 300 MB that is streamed ends with 413, and memory stays flat", 120)
def _(server: Server) -> None:
    before = server.resident_bytes()
    peak = before
    with server.api.connect(30) as connection:
        connection.sendall(
            f"POST {SUBMIT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
        answer = b""
        try:
            for _ in range(300):
                connection.sendall(piece)
                peak = max(peak, server.resident_bytes())
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass
        try:
            answer = connection.recv(1000)
        except OSError:
            pass
    expect(answer.startswith(b"HTTP/1.1 413") or answer == b"", f"{answer[:200]!r}")
    expect(peak - before < 300_000_000, f"resident memory grew by {(peak - before) >> 20} MiB")
    server.api.run(QUICK)


@suite.case("a data URI of 100 MB is 413, one of 20 MB that is no picture fails or is refused", 120)
def _(server: Server) -> None:
    text = "data:image/png;base64," + "A" * 100_000_000
    try:
        reply = server.api.post(SUBMIT, {**QUICK, "images": [text]}, timeout=60)
        check_error(reply, 413, "large|limit|bytes|more than")
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused while it was being sent
    reply = server.api.post(SUBMIT, {**QUICK, "images": ["data:image/png;base64," + "A" * 20_000_000]}, timeout=60)
    expect(reply.status in (200, 400), f"HTTP {reply.status} {reply.body[:200]!r}")
    if reply.status == 200:
        equal(server.api.wait(reply.data["id"], 30, "failed")["code"], 1402, "code")
    server.api.run(QUICK)


@suite.case("a picture of 10 MB as a data URI works")
def _(server: Server) -> None:
    large = pictures.png(64, 64)
    at = large.index(b"IDAT") - 4
    padded = large[:at] + pictures.chunk(b"teXt", bytes(10_000_000)) + large[at:]
    done = server.api.run({**QUICK, "images": ["data:image/png;base64," + base64.b64encode(padded).decode()]})
    equal(done["status"], "completed", "status")


@suite.case("a picture bomb is a failed prediction with code 1402")
def _(server: Server) -> None:
    header = b"\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + pictures.chunk(b"IHDR", header) + pictures.chunk(b"IDAT", b"x") + pictures.chunk(b"IEND", b"")
    data = server.api.submit({**QUICK, "images": ["data:image/png;base64," + base64.b64encode(bomb).decode()]})
    done = server.api.wait(data["id"], status="failed")
    equal(done["code"], 1402, f"code ({done['error']})")


def add_inline(name: str, value: str, sentence: str = "") -> None:
    @suite.case(f"{name} in images is refused at submit or fails with 1402")
    def _(server: Server) -> None:
        reply = server.api.post(SUBMIT, {**QUICK, "images": [value]})
        if reply.status == 400:
            check_error(reply, 400, sentence or "images|base64|url|data")
            return
        equal(server.api.wait(reply.data["id"], status="failed")["code"], 1402, "code")


add_inline("a data URI without base64", "data:image/png,hello")
add_inline("a data URI with a wrong character", "data:image/png;base64,iVBOR!!!")
add_inline("an empty data URI", "data:image/png;base64,")
add_inline("a data URI cut in its head", "data:image/png;base64")
add_inline("base64 of text", base64.b64encode(b"hello, this is no picture at all").decode())
add_inline("a file URL", "file:///etc/passwd")
add_inline("an FTP URL", "ftp://127.0.0.1/a.png")
add_inline("a gopher URL", "gopher://127.0.0.1:25/_HELO")
add_inline("a URL with a line break", "http://127.0.0.1/\r\nHost: evil")
add_inline("a URL with a user", "http://user:password@127.0.0.1/a.png")
add_inline("a URL without a host", "http:///a.png")
add_inline("a URL of 100000 characters", "http://127.0.0.1/" + "a" * 100000)


@suite.case("other routes with bodies of wrong types are 400, each naming its field")
def _(server: Server) -> None:
    rows: list[tuple[str, Any, str]] = [
        ("/api/v3/predictions", [], "object"),
        ("/api/v3/predictions/delete", "x", "object|json"),
        ("/api/v3/media/uploads", {"filename": [], "size": 1}, "filename"),
        ("/api/v3/model/price", {"model_id": 3, "inputs": {}}, "model_id"),
        ("/api/v3/model/price", {"model_id": MULTI, "inputs": {"num_images": "x"}}, "num_images"),
        ("/api/v3/billings/search", {"page": []}, "page"),
        ("/api/v3/user/usage_stats", {"start_time": {}}, "start_time"),
    ]
    for path, body, word in rows:
        check_error(server.api.post(path, body), 400, word)


@suite.case("after all that the server is ready, nothing is queued and it holds no descriptors")
def _(server: Server) -> None:
    server.api.run(QUICK)
    equal(server.anyone.get("/readyz").status, 200, "readyz")
    until(lambda: server.descriptors() < 100, f"descriptors: {server.descriptors()}")
    expect(not [p for p in (server.data / "tmp").rglob("*") if p.is_file()], "temporary files are left")


suite.main()
