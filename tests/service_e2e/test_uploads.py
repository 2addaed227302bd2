"""Uploads: tickets and PUT, forms, the old alias; what is refused; clients that vanish."""

from __future__ import annotations

import socket
import urllib.parse
from typing import Any

from harness import pictures
from harness.client import MULTI, QUICK, Client, Reply, multipart
from harness.contract import check_error
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect, until

LIMIT = 3 * 1024 * 1024
suite = Suite("uploads", lambda: one_server({"max-upload": str(LIMIT), "upload-quota": str(40 * LIMIT)}))
TICKETS = "/api/v3/media/uploads"
FORM = "/api/v3/media/upload/binary"


def ticket(api: Client, name: str = "a.png", size: int | None = None, kind: str | None = "image/png") -> Any:
    body: dict[str, Any] = {"filename": name, "size": len(pictures.png()) if size is None else size}
    if kind:
        body["content_type"] = kind
    return api.post(TICKETS, body).data


def put(server: Server, made: Any, data: bytes, **more: Any) -> Reply:
    return server.anyone.request("PUT", made["upload"]["url"], data, headers=made["upload"]["headers"], **more)


@suite.case("a ticket has the documented fields and types")
def _(server: Server) -> None:
    made = ticket(server.api)
    equal(made["type"], "image", "type")
    equal(made["filename"], "a.png", "filename")
    equal(made["size"], len(pictures.png()), "size")
    expect(made["download_url"].startswith(server.base + "/") and made["download_url"].endswith(".png"), made["download_url"])
    upload = made["upload"]
    equal(upload["method"], "PUT", "upload.method")
    expect(upload["url"].startswith(server.base + "/"), upload["url"])
    headers = upload["headers"]
    expect(isinstance(headers, dict) and all(isinstance(v, str) for v in headers.values()), f"upload.headers is {headers!r}")
    equal({k.lower(): v for k, v in headers.items()}.get("if-none-match"), "*", "If-None-Match")
    expect(upload["expires_at"].endswith("Z"), f"expires_at is {upload['expires_at']!r}")


@suite.case("a ticket's PUT needs no key, and its picture is there and usable afterwards")
def _(server: Server) -> None:
    made = ticket(server.api)
    equal(server.anyone.get(made["download_url"]).status, 404, "before the PUT")
    reply = put(server, made, pictures.png())
    expect(200 <= reply.status < 300, f"PUT: HTTP {reply.status} {reply.body[:200]!r}")
    file = server.anyone.get(made["download_url"]).ok()
    equal(file.body, pictures.png(), "bytes")
    equal(file.headers["Content-Type"], "image/png", "Content-Type")
    server.api.run({**QUICK, "images": [made["download_url"]]})


@suite.case("a ticket without content_type, named upload, works by the picture's content")
def _(server: Server) -> None:
    picture = pictures.sample("icc_p3.webp")
    made = ticket(server.api, "upload", len(picture), None)
    expect(200 <= put(server, made, picture).status < 300, "PUT")
    equal(server.anyone.get(made["download_url"]).ok().headers["Content-Type"], "image/webp", "Content-Type")
    server.api.run({**QUICK, "images": [made["download_url"]]})


@suite.case("a ticket counts once")
def _(server: Server) -> None:
    made = ticket(server.api)
    expect(200 <= put(server, made, pictures.png()).status < 300, "the first PUT")
    second = put(server, made, pictures.png(48, 32, 9))
    expect(second.status in (409, 410, 412), f"the second PUT: HTTP {second.status}")
    equal(server.api.download(made["download_url"]), pictures.png(), "bytes after the second PUT")


@suite.case("a PUT of more or fewer bytes than the ticket says is refused")
def _(server: Server) -> None:
    for size in (10, len(pictures.png()) + 10):
        made = ticket(server.api, size=size)
        reply = put(server, made, pictures.png())
        expect(reply.status in (400, 413), f"a ticket of {size} bytes: HTTP {reply.status}")
        equal(server.anyone.get(made["download_url"]).status, 404, "the file")


@suite.case("a PUT to a ticket that does not exist is refused")
def _(server: Server) -> None:
    url = ticket(server.api)["upload"]["url"]
    forged = url.rsplit("/", 1)[0] + "/" + "0" * 32
    reply = server.anyone.request("PUT", forged, pictures.png())
    expect(reply.status in (403, 404), f"HTTP {reply.status}")


@suite.case("a PUT that nobody asked for is refused before its bytes are taken, and stores nothing")
def _(server: Server) -> None:
    used = ticket(server.api)
    put(server, used, pictures.png()).ok()
    known = stored_files(server)
    picture = pictures.png(64, 48, 77)  # stored nowhere yet
    for path, status in ((f"/uploads/{'0' * 32}", 404), (used["upload"]["url"][len(server.base) :], 412)):
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(picture)}\r\n"
        answer = server.anyone.raw(f"{head}Expect: 100-continue\r\n\r\n".encode(), 5)
        expect(answer.startswith(f"HTTP/1.1 {status} ".encode()), f"before the bytes: {answer[:200]!r}")
        answer = server.anyone.raw(f"{head}\r\n".encode() + picture, 5)
        expect(answer.startswith(f"HTTP/1.1 {status} ".encode()), f"with the bytes: {answer[:200]!r}")
    equal(stored_files(server), known, "stored files")
    equal(temporary_files(server), [], "temporary files")


@suite.case("tickets refuse wrong fields")
def _(server: Server) -> None:
    rows: list[tuple[Any, str]] = [
        ({"filename": 3, "size": 10}, "filename"),
        ({"filename": "a.png", "size": "10"}, "size"),
        ({"filename": "a.png", "size": -1}, "size"),
        ({"filename": "a.png", "size": 1.5}, "size"),
        ({"filename": "a.png", "size": 10, "content_type": 3}, "content_type"),
        ([], "object"),
    ]
    for body, word in rows:
        check_error(server.api.post(TICKETS, body), 400, word)
    check_error(server.api.post(TICKETS, {"filename": "a.png", "size": LIMIT + 1}), 413, "")


@suite.case("a form upload answers with the documented fields")
def _(server: Server) -> None:
    data = server.api.post(FORM, *multipart(pictures.png(), "image.png")).data
    equal((data["type"], data["filename"], data["size"]), ("image", "image.png", len(pictures.png())), "type, filename, size")
    expect(data["download_url"].startswith(server.base + "/") and data["download_url"].endswith(".png"), data["download_url"])
    equal(server.api.download(data["download_url"]), pictures.png(), "bytes")


@suite.case("the old aliases of the form upload work")
def _(server: Server) -> None:
    old = server.api.post("/api/v3/upload", *multipart(pictures.png(), "image.png")).data
    equal(server.api.download(old["url"]), pictures.png(), "bytes at data.url")
    second = server.api.post("/api/v2/media/upload/binary", *multipart(pictures.png(), "image.png")).data
    equal(server.api.download(second["download_url"]), pictures.png(), "bytes on version 2")


def add_format(kind: str, file: str) -> None:
    @suite.case(f"a form upload of {kind} without a part type is recognised by content")
    def _(server: Server) -> None:
        data = pictures.sample(file)
        for part in (None, "application/octet-stream"):
            made = server.api.post(FORM, *multipart(data, "upload", kind=part)).data
            reply = server.anyone.get(made["download_url"]).ok()
            equal(reply.headers["Content-Type"], f"image/{kind}", "Content-Type")
            equal(reply.body, data, "bytes")


for kind, file in pictures.FORMATS.items():
    add_format(kind, file)


def add_refused(name: str, data: bytes, file: str) -> None:
    @suite.case(f"{name} is refused as a form upload and as a PUT")
    def _(server: Server) -> None:
        reply = server.api.post(FORM, *multipart(data, file))
        expect(reply.status in (400, 415), f"form: HTTP {reply.status} {reply.body[:200]!r}")
        check_error(reply, reply.status, "picture|image|type|empty")
        made = ticket(server.api, file, len(data))
        reply = put(server, made, data)
        expect(reply.status in (400, 415), f"PUT: HTTP {reply.status} {reply.body[:200]!r}")
        equal(server.anyone.get(made["download_url"]).status, 404, "the file")


add_refused("a zip named .png", b"PK\x03\x04" + bytes(200), "picture.png")
add_refused("a page named .png", b"<html><script>alert(1)</script></html>", "picture.png")
add_refused("an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>', "picture.svg")


@suite.case("names that leave the folder stay names")
def _(server: Server) -> None:
    for name in ("../../etc/passwd.png", "..\\..\\x.png", "/etc/x.png", "a\x00b.png", "%2e%2e%2fx.png", "n" * 3000 + ".png", "ß🎈.png", ""):
        reply = server.api.post(FORM, *multipart(pictures.png(), name))
        if reply.status != 200:
            expect(reply.status == 400, f"{name[:40]!r}: HTTP {reply.status}")
            continue
        url = reply.data["download_url"]
        expect(urllib.parse.urlsplit(url).path.count("/") == 2 and ".." not in url, f"{name[:40]!r} is at {url}")
        equal(server.api.download(url), pictures.png(), "bytes")


@suite.case("what is no form, or a broken one, is refused")
def _(server: Server) -> None:
    body, headers = multipart(pictures.png(), "a.png")
    rows: list[tuple[str, bytes, dict[str, str]]] = [
        ("no body", b"", headers),
        ("no boundary", body, {"Content-Type": "multipart/form-data"}),
        ("another boundary", body, {"Content-Type": "multipart/form-data; boundary=other"}),
        ("JSON", b"{}", {"Content-Type": "application/json"}),
        ("no type", body, {}),
        ("cut before the end", body[:-20], headers),
        ("cut in the part's head", body[:60], headers),
        ("a field in place of the file", *multipart(pictures.png(), "a.png", field="other")),
        ("a boundary of 5000 bytes", body, {"Content-Type": "multipart/form-data; boundary=" + "x" * 5000}),
    ]
    for name, data, sent in rows:
        reply = server.api.post(FORM, data, headers=sent)
        expect(reply.status in (400, 415, 431), f"{name}: HTTP {reply.status} {reply.body[:200]!r}")


@suite.case("an upload over the limit is 413, announced or streamed")
def _(server: Server) -> None:
    big = pictures.png() + bytes(LIMIT)
    body, headers = multipart(big, "big.png")
    check_error(server.api.post(FORM, body, headers=headers), 413, "")
    with server.api.connect() as connection:
        connection.sendall(
            b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            % (FORM.encode(), (server.key or "").encode(), headers["Content-Type"].encode())
        )
        try:
            for at in range(0, len(body), 65536):
                piece = body[at : at + 65536]
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass
        try:
            answer = connection.recv(100)
        except ConnectionResetError:
            return
    expect(b" 413 " in answer, f"streamed: {answer!r}")


@suite.case("uploads over the quota of a key are 429")
def _(server: Server) -> None:
    key = server.make_key("collector")
    data = pictures.png() + bytes(LIMIT - 20000)
    statuses = [key.post(FORM, *multipart(data, "a.png")).status for _ in range(45)]
    expect(statuses[0] == 200 and statuses[-1] == 429, f"statuses {statuses}")
    check_error(key.post(FORM, *multipart(data, "a.png")), 429, "quota")
    server.api.upload(pictures.png())


def stored_files(server: Server) -> set[str]:
    return {p.name for p in (server.data / "blobs").rglob("*") if p.is_file()}


def temporary_files(server: Server) -> list[str]:
    folder = server.data / "tmp"
    return [p.name for p in folder.rglob("*") if p.is_file()] if folder.exists() else []


@suite.case("a client that vanishes in the middle of an upload leaves nothing behind")
def _(server: Server) -> None:
    body, headers = multipart(pictures.png() + bytes(1000000), "a.png")
    made = ticket(server.api, size=1000000)
    put_path = made["upload"]["url"][len(server.base) :]
    heads = [
        f"POST {FORM} HTTP/1.1\r\nAuthorization: Bearer {server.key}\r\nContent-Type: {headers['Content-Type']}\r\n",
        f"PUT {put_path} HTTP/1.1\r\nContent-Type: image/png\r\n",
    ]
    before = server.descriptors()
    for head in heads:
        for how in (socket.SHUT_RDWR, None):
            with server.api.connect() as connection:
                connection.sendall(f"{head}Host: x\r\nContent-Length: 1000000\r\n\r\n".encode() + body[:300000])
                until(lambda: temporary_files(server), "the upload stands in the temporary folder")
                if how is not None:
                    connection.shutdown(how)
            until(lambda: not temporary_files(server), "the temporary file is gone")
    equal(server.anyone.get(made["download_url"]).status, 404, "the file of the ticket")
    until(lambda: server.descriptors() <= before, f"descriptors are back at {before}")


@suite.case("two uploads of one picture are two URLs")
def _(server: Server) -> None:
    first, second = server.api.upload(pictures.png()), server.api.upload(pictures.png())
    expect(first != second, "one URL")
    server.api.run({**QUICK, "images": [first, second]}, MULTI)


suite.main()
