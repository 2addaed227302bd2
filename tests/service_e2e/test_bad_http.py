"""HTTP as attackers and broken clients speak it: smuggling, floods, slow senders and slow readers."""

from __future__ import annotations

import re
import select
import socket
import time

from harness.client import MULTI, QUICK
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect, until

OPTIONS = {
    "header-timeout": "2s", "body-timeout": "2s", "idle-timeout": "3s", "max-connections-per-address": "60",
}  # fmt: skip
suite = Suite("bad HTTP", lambda: one_server(OPTIONS))
PATH = f"/api/v3/{MULTI}".encode()
HIDDEN = b"GET /api/v3/balance HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b'{"prompt":"a","size":"64*64","num_inference_steps":1}'


def head(server: Server, *lines: bytes, line: bytes = b"POST " + PATH + b" HTTP/1.1", host: bytes | None = b"Host: x") -> bytes:
    key = b"Authorization: Bearer " + (server.key or "").encode()
    rest = [key, b"Content-Type: application/json", *lines]
    return b"\r\n".join([line] + ([host] if host else []) + rest) + b"\r\n\r\n"


def refused(server: Server, data: bytes, statuses: tuple[int, ...] = (400,)) -> None:
    """One answer, of one of the statuses, and then the connection ends: what follows is not taken for a request."""
    answer = server.api.raw(data + HIDDEN, timeout=8)
    expect(answer[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 "), f"the answer is {answer[:200]!r}")
    status = int(answer[9:12])
    expect(status in statuses, f"HTTP {status}, expected {statuses}: {answer[:300]!r}")
    equal(len(re.findall(rb"HTTP/1\.[01] \d{3} ", answer)), 1, f"answers in {answer[-300:]!r}")


def jobs(server: Server) -> int:
    return server.api.post("/api/v3/predictions", {"page": 1, "page_size": 1}).data["total"]


N = str(len(BODY)).encode()
CHUNKED_BODY = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

# name, header lines, what follows, statuses
SMUGGLING: list[tuple[str, list[bytes], bytes, tuple[int, ...]]] = [
    ("Content-Length beside Transfer-Encoding", [b"Content-Length: " + N, b"Transfer-Encoding: chunked"], CHUNKED_BODY, (400,)),
    ("Transfer-Encoding before Content-Length", [b"Transfer-Encoding: chunked", b"Content-Length: 4"], CHUNKED_BODY, (400,)),
    ("two Content-Lengths that differ", [b"Content-Length: " + N, b"Content-Length: 5"], BODY, (400,)),
    ("two Content-Lengths that agree", [b"Content-Length: " + N, b"Content-Length: " + N], BODY, (400,)),
    ("a list of Content-Lengths", [b"Content-Length: " + N + b", " + N], BODY, (400,)),
    ("a Content-Length with a sign", [b"Content-Length: +" + N], BODY, (400,)),
    ("a negative Content-Length", [b"Content-Length: -1"], BODY, (400,)),
    ("a hexadecimal Content-Length", [b"Content-Length: 0x10"], BODY, (400,)),
    ("an empty Content-Length", [b"Content-Length: "], BODY, (400, 411)),
    ("a Content-Length beyond 64 bits", [b"Content-Length: 99999999999999999999"], BODY, (400, 413)),
    ("a Content-Length with a space inside", [b"Content-Length: 1 0"], BODY, (400,)),
    ("Transfer-Encoding identity", [b"Transfer-Encoding: identity"], BODY, (400, 501)),
    ("Transfer-Encoding gzip, chunked", [b"Transfer-Encoding: gzip, chunked"], CHUNKED_BODY, (400, 501)),
    ("Transfer-Encoding chunked, identity", [b"Transfer-Encoding: chunked, identity"], CHUNKED_BODY, (400, 501)),
    ("Transfer-Encoding chunked twice", [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], CHUNKED_BODY, (400, 501)),
    ("Transfer-Encoding xchunked", [b"Transfer-Encoding: xchunked"], CHUNKED_BODY, (400, 501)),
    ("Transfer-Encoding with a quote", [b'Transfer-Encoding: "chunked"'], CHUNKED_BODY, (400, 501)),
    ("Transfer-Encoding with a vertical tab", [b"Transfer-Encoding: \x0bchunked"], CHUNKED_BODY, (400, 501)),
    ("Transfer-Encoding of nothing", [b"Transfer-Encoding: "], CHUNKED_BODY, (400, 501)),
    ("a space before the colon", [b"Content-Length : " + N], BODY, (400,)),
    ("a space before the colon of Transfer-Encoding", [b"Transfer-Encoding : chunked"], CHUNKED_BODY, (400,)),
    ("a folded header line", [b"X-Folded: a", b" b", b"Content-Length: " + N], BODY, (400,)),
    ("a folded Transfer-Encoding", [b"Transfer-Encoding:", b" chunked"], CHUNKED_BODY, (400, 501)),
    ("a header line without a colon", [b"Nonsense", b"Content-Length: " + N], BODY, (400,)),
    ("a header without a name", [b": value", b"Content-Length: " + N], BODY, (400,)),
    ("a space in a header's name", [b"Content Length: " + N], BODY, (400, 411)),
    ("a zero byte in a header", [b"X-Zero: a\0b", b"Content-Length: " + N], BODY, (400,)),
    ("a bare CR in a header", [b"X-Bare: a\rb", b"Content-Length: " + N], BODY, (400,)),
    ("a bare LF between headers", [b"X-Bare: a\nX-Second: b", b"Content-Length: " + N], BODY, (400,)),
    ("two Hosts", [b"Host: other", b"Content-Length: " + N], BODY, (400,)),
]


def add_smuggling(name: str, lines: list[bytes], follow: bytes, statuses: tuple[int, ...]) -> None:
    @suite.case(f"{name} is refused, the connection closed, no job made")
    def _(server: Server) -> None:
        before = jobs(server)
        refused(server, head(server, *lines) + follow, statuses)
        equal(jobs(server), before, "jobs")


for row in SMUGGLING:
    add_smuggling(*row)


CHUNKS: list[tuple[str, bytes]] = [
    ("a size that is no number", b"zz\r\nabc\r\n0\r\n\r\n"),
    ("an empty size", b"\r\nabc\r\n0\r\n\r\n"),
    ("a negative size", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("a size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("a chunk longer than its size", b"3\r\nabcdef\r\n0\r\n\r\n"),
    ("a size line ended by a bare LF", b"3\nabc\r\n0\r\n\r\n"),
    ("a chunk ended by a bare LF", b"3\r\nabc\n0\r\n\r\n"),
    ("a size line of 100000 bytes", b"3;" + b"x" * 100000 + b"\r\nabc\r\n0\r\n\r\n"),
]


def add_chunks(name: str, data: bytes) -> None:
    @suite.case(f"a chunked body with {name} is refused and the connection closed")
    def _(server: Server) -> None:
        refused(server, head(server, b"Transfer-Encoding: chunked") + data, (400, 413, 431))


for chunk_name, chunk_data in CHUNKS:
    add_chunks(chunk_name, chunk_data)


LINES: list[tuple[str, bytes, tuple[int, ...]]] = [
    ("no version", b"GET /healthz", (400, 505)),
    ("version 2.0", b"GET /healthz HTTP/2.0", (400, 505)),
    ("version 1.9", b"GET /healthz HTTP/1.9", (200, 400, 505)),
    ("version 0.9", b"GET /healthz HTTP/0.9", (400, 505)),
    ("two spaces", b"GET  /healthz HTTP/1.1", (400,)),
    ("a tab", b"GET\t/healthz HTTP/1.1", (400,)),
    ("no path", b"GET  HTTP/1.1", (400,)),
    ("a path without a slash", b"GET healthz HTTP/1.1", (400, 404)),
    ("a zero byte in the path", b"GET /health\0z HTTP/1.1", (400,)),
    ("a raw byte above 127 in the path", b"GET /\xff\xfe HTTP/1.1", (400, 404)),
    ("a control character in the path", b"GET /a\x01b HTTP/1.1", (400,)),
    ("a broken escape", b"GET /%zz HTTP/1.1", (400, 404)),
    ("an escaped zero", b"GET /healthz%00 HTTP/1.1", (400, 404)),
    ("a path of 100000 bytes", b"GET /" + b"a" * 100000 + b" HTTP/1.1", (400, 414, 431)),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    ("a proxy request for another host", b"GET http://example.invalid/healthz HTTP/1.1", (200, 400, 404)),
    ("CONNECT", b"CONNECT example.invalid:443 HTTP/1.1", (400, 404, 405, 501)),
    ("a method of 5000 letters", b"A" * 5000 + b" / HTTP/1.1", (400, 404, 405, 414, 431, 501)),
]


def add_line(name: str, line: bytes, statuses: tuple[int, ...]) -> None:
    @suite.case(f"a request line with {name} has a defined answer")
    def _(server: Server) -> None:
        answer = server.api.raw(head(server, b"Connection: close", line=line), timeout=8)
        expect(answer == b"" or (answer[:7] == b"HTTP/1." and int(answer[9:12]) in statuses), f"{answer[:200]!r}, expected {statuses}")
        expect(server.anyone.get("/healthz").status == 200, "healthz")


for line_name, line_data, line_statuses in LINES:
    add_line(line_name, line_data, line_statuses)


@suite.case("HTTP/1.1 without Host is refused; a hostile Host does not reach absolute URLs unescaped")
def _(server: Server) -> None:
    answer = server.api.raw(head(server, b"Connection: close", line=b"GET /healthz HTTP/1.1", host=None), timeout=8)
    expect(answer[9:12] == b"400", f"{answer[:100]!r}")
    for host in (b'a"b', b"a b", b"a/b", b"a<script>", b"x" * 5000, b"a\x80"):
        answer = server.api.raw(head(server, b"Content-Length: " + N, b"Connection: close", host=b"Host: " + host) + BODY, timeout=8)
        status = int(answer[9:12])
        expect(status in (200, 400, 431), f"Host {host[:20]!r}: HTTP {status}")
        expect(status != 200 or host not in answer.split(b"\r\n\r\n", 1)[1], f"Host {host[:20]!r} stands in the answer")


@suite.case("an ordinary chunked body works, with extensions and trailers")
def _(server: Server) -> None:
    data = b"%x;name=value\r\n%s\r\n0\r\nX-Trailer: a\r\n\r\n" % (len(BODY), BODY)
    answer = server.api.raw(head(server, b"Transfer-Encoding: chunked", b"Connection: close") + data, timeout=8)
    expect(answer.startswith(b"HTTP/1.1 200"), f"{answer[:200]!r}")


@suite.case("requests in a row on one connection, sent together, are answered in order")
def _(server: Server) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    two = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = server.api.raw(one + two + one + last, timeout=8)
    found = [piece[:3] for piece in answer.split(b"HTTP/1.1 ")[1:]]
    equal(found, [b"200", b"404", b"200", b"200"], "statuses")


@suite.case("an early answer to an unread body does not let the body be taken for a request")
def _(server: Server) -> None:
    data = head(server, b"Content-Length: %d" % len(HIDDEN), line=b"POST /nothing HTTP/1.1") + HIDDEN
    answer = server.api.raw(data, timeout=4)
    equal(answer.count(b"HTTP/1.1 "), 1, f"answers in {answer[:600]!r}")


# ---- Floods ----


@suite.case("10000 header lines, one of 1 MB, and 10 MB of them are refused")
def _(server: Server) -> None:
    floods = [b"".join(b"X-H%d: a\r\n" % i for i in range(10000)), b"X-Long: " + b"a" * 1000000 + b"\r\n", b"X-H: " + b"b" * 1000 + b"\r\n"]
    floods[2] *= 10000
    before = server.resident_bytes()
    for flood in floods:
        answer = server.api.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + flood + b"\r\n", timeout=8)
        expect(answer == b"" or answer[9:12] in (b"400", b"413", b"431"), f"{answer[:200]!r}")
    expect(server.resident_bytes() - before < 60_000_000, "resident memory grew")
    equal(server.anyone.get("/healthz").status, 200, "healthz")


def closed_after(connection: socket.socket, feed: bytes, every: float, limit: float) -> tuple[float, bytes]:
    """Feeds a byte at a time; how long until the server closed, and what it said."""
    start, said = time.monotonic(), b""
    while time.monotonic() - start < limit:
        readable, _, _ = select.select([connection], [], [], every)
        try:
            if readable:
                piece = connection.recv(4096)
                if not piece:
                    return time.monotonic() - start, said
                said += piece
                continue
            connection.sendall(feed)
        except OSError:
            return time.monotonic() - start, said
    raise AssertionError(f"still open after {limit:g} s, said {said[:200]!r}")


@suite.case("a client that sends its head byte by byte is closed at the header's deadline", 40)
def _(server: Server) -> None:
    with server.api.connect(30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        took, _ = closed_after(connection, b"a", 0.2, 20)
    expect(took < 10, f"closed after {took:.1f} s with a deadline of 2 s")


@suite.case("a client that connects and says nothing is closed", 40)
def _(server: Server) -> None:
    with server.api.connect(30) as connection:
        took, _ = closed_after(connection, b"", 0.5, 20)
    expect(took < 10, f"closed after {took:.1f} s")


@suite.case("a client that sends its body byte by byte is closed at the body's deadline", 40)
def _(server: Server) -> None:
    with server.api.connect(30) as connection:
        connection.sendall(head(server, b"Content-Length: 20000") + b'{"prompt":"')
        took, said = closed_after(connection, b"a", 0.2, 25)
    expect(took < 15, f"closed after {took:.1f} s")
    expect(said == b"" or said[9:12] in (b"400", b"408"), f"said {said[:100]!r}")


@suite.case("an idle kept connection is closed after its time", 40)
def _(server: Server) -> None:
    with server.api.connect(30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        took, said = closed_after(connection, b"", 0.5, 25)
    expect(said.startswith(b"HTTP/1.1 200") and took < 15, f"{took:.1f} s, {said[:60]!r}")


@suite.case("slow senders do not hold up others: a submit is answered at once beside fifty of them", 40)
def _(server: Server) -> None:
    slow = [server.api.connect(30) for _ in range(50)]
    for number, connection in enumerate(slow):
        connection.sendall(b"POST / HTTP/1.1\r\nX: " if number % 2 else head(server, b"Content-Length: 20000"))
    start = time.monotonic()
    server.api.submit(QUICK)
    took = time.monotonic() - start
    for connection in slow:
        connection.close()
    expect(took < 2, f"the submit took {took:.1f} s")


@suite.case("connections over the limit of one address are closed or refused, and it recovers", 40)
def _(server: Server) -> None:
    until(lambda: server.descriptors() < 60, "earlier connections are gone")
    many = [server.api.connect(10) for _ in range(90)]
    refusals = 0
    for connection in many:
        try:
            connection.settimeout(2)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            refusals += not connection.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            refusals += 1
    for connection in many:
        connection.close()
    expect(25 <= refusals <= 40, f"{refusals} of 90 were refused, the limit is 60")
    until(lambda: healthy(server), "it answers again")


def healthy(server: Server) -> bool:
    try:
        return server.anyone.get("/healthz").status == 200
    except OSError:
        return False


@suite.case("a client that asks and does not read is closed, and holds no memory", 60)
def _(server: Server) -> None:
    (url,) = server.api.run({**QUICK, "size": "512*512", "output_format": "png"})["outputs"]
    path = url[len(server.base) :].encode()
    before = server.descriptors()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((server.api.host, server.port))
        connection.settimeout(1)
        try:
            for _ in range(300):
                connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        except OSError:
            pass
        until(lambda: server.descriptors() <= before, "the connection is given up", 30)


suite.main()
