"""Outgoing requests: without --fetch-allow, every spelling of a private address is refused, for pictures and webhooks."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.parse
from dataclasses import dataclass
from typing import Callable, Iterator

from harness.client import MULTI, QUICK, Client
from harness.receiver import Receiver
from harness.server import Server, Workplace
from harness.tap import Skip, Suite, equal, expect


@dataclass
class Stage:
    strict: Server  # as an operator runs it
    open: Server  # may reach 127.0.0.0/8 alone
    receiver: Receiver

    @property
    def log_tail(self) -> Callable[[], str]:
        return self.strict.log_tail


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with Workplace() as place, Receiver() as receiver:
        with Server(place, "strict", {"fetch-allow": None, "fetch-timeout": "10s"}) as strict:
            with Server(place, "open", {"fetch-allow": "127.0.0.0/8", "fetch-timeout": "10s"}) as opened:
                yield Stage(strict, opened, receiver)


suite = Suite("addresses", stage)

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1", "0177.0.0.1", "017700000001",
    "0177.0x0.0.1", "127.0.0.1.", "127.255.255.254", "0", "0.0.0.0", "0x0", "localhost", "LOCALHOST", "localhost.",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]",
    "%31%32%37.0.0.1", "１２７.0.0.1", "127。0。0。1", "127.0.0.1%2f@example.com",
]  # fmt: skip
SPECIAL = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "169.254.1.1", "100.64.0.1", "192.0.0.1", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "0.1.2.3",
    "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]",
    "metadata.google.internal", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
]  # fmt: skip
FAR = (":25", ":22", ":6379")


def picture(api: Client, url: str) -> None:
    """Refused at submit, or a failed prediction with code 1402; either way without a word of our network."""
    reply = api.post(f"/api/v3/{MULTI}", {**QUICK, "images": [url]})
    if reply.status == 400:
        return
    done = api.wait(reply.data["id"], 30, "failed")
    equal(done["code"], 1402, f"code for {url} ({done['error']})")


def webhook(api: Client, url: str) -> None:
    """Refused at submit, or tried and given up; the caller looks whether anything arrived."""
    reply = api.post(f"/api/v3/{MULTI}?webhook={urllib.parse.quote(url, safe='')}", QUICK)
    expect(reply.status in (200, 400), f"{url}: HTTP {reply.status}")
    if reply.status == 200:
        api.wait(reply.data["id"])


def add_host(host: str) -> None:
    @suite.case(f"the spelling {host.encode('ascii', 'backslashreplace').decode()} of this machine is refused, nothing arrives")
    def _(s: Stage) -> None:
        s.receiver.give("/secret.png", b"secret")
        asked, hooks = len(s.receiver.asked), len(s.receiver.hooks)
        for scheme in ("http", "HTTP"):
            picture(s.strict.api, f"{scheme}://{host}:{s.receiver.port}/secret.png")
        webhook(s.strict.api, f"http://{host}:{s.receiver.port}/hook")
        equal((len(s.receiver.asked), len(s.receiver.hooks)), (asked, hooks), "requests that arrived")


for host_name in HOSTS:
    add_host(host_name)


@suite.case("private, link-local, metadata and other special addresses are refused in no time", 120)
def _(s: Stage) -> None:
    for host in SPECIAL:
        picture(s.strict.api, f"http://{host}/latest/meta-data/")
        picture(s.strict.api, f"https://{host}/a.png")


@suite.case("an allowed network does not open others")
def _(s: Stage) -> None:
    for host in ("10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "192.168.0.1"):
        picture(s.open.api, f"http://{host}/a.png")


@suite.case("ports of other services are not spoken to")
def _(s: Stage) -> None:
    for port in FAR:
        picture(s.strict.api, f"http://127.0.0.1{port}/a.png")


@suite.case("a redirect to a forbidden address is refused, whatever its spelling")
def _(s: Stage) -> None:
    targets = ["http://169.254.169.254/latest/", "http://10.0.0.1/", "http://[::1]:9/", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:25/",
               "//10.0.0.1/", "http://0xa000001/", "data:image/png;base64,AAAA"]  # fmt: skip
    for number, target in enumerate(targets):
        url = s.receiver.give(f"/to{number}", b"", status=302, headers={"Location": target})
        picture(s.open.api, url)


@suite.case("a redirect to an allowed address is followed, endless ones are not")
def _(s: Stage) -> None:
    from harness import pictures

    s.receiver.give("/there.png", pictures.png())
    for status in (301, 302, 303, 307, 308):
        url = s.receiver.give(f"/moved{status}", b"", status=status, headers={"Location": "/there.png"})
        s.open.api.run({**QUICK, "images": [url]})
    picture(s.open.api, s.receiver.give("/loop", b"", status=302, headers={"Location": "/loop"}))


@suite.case("a name that resolves to this machine is refused")
def _(s: Stage) -> None:
    names = {socket.gethostname(), socket.getfqdn(), "localhost", "ip6-localhost"}
    tried = 0
    for name in names:
        try:
            found = {info[4][0].split("%")[0] for info in socket.getaddrinfo(name, 80)}
        except OSError:
            continue
        if all(ipaddress.ip_address(address).is_global for address in found):
            continue
        tried += 1
        asked = len(s.receiver.asked)
        picture(s.strict.api, f"http://{name}:{s.receiver.port}/secret.png")
        equal(len(s.receiver.asked), asked, f"requests that arrived for {name}")
    if not tried:
        raise Skip("no name resolves to this machine")


@suite.case("a picture that is too large or never ends is given up")
def _(s: Stage) -> None:
    def endless(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Type", "image/png")  # type: ignore[attr-defined]
        handler.send_header("Content-Length", str(10**12))  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        handler.wfile.write(b"\x89PNG\r\n\x1a\n" + bytes(100000))  # type: ignore[attr-defined]

    def silent(handler: object) -> None:
        s.receiver.hold.wait(30)

    picture(s.open.api, s.receiver.give("/endless.png", act=endless))
    picture(s.open.api, s.receiver.give("/silent.png", act=silent))
    s.receiver.hold.set()


@suite.case("a URL under our own address is read from the store, and one that is no file there is not fetched")
def _(s: Stage) -> None:
    done = s.strict.api.run({**QUICK, "output_format": "png"})
    s.strict.api.run({**QUICK, "images": done["outputs"]})
    for path in ("/healthz", "/metrics", "/api/v3/balance", "/files/none.png", "/files/../metrics"):
        picture(s.strict.api, s.strict.base + path)


@suite.case("the sentence of a refusal tells nothing of the network")
def _(s: Stage) -> None:
    reply = s.strict.api.post(f"/api/v3/{MULTI}", {**QUICK, "images": [f"http://localhost:{s.receiver.port}/a.png"]})
    text = reply.json()["message"] if reply.status == 400 else s.strict.api.wait(reply.data["id"], status="failed")["error"]
    expect("127.0.0.1" not in text and "::1" not in text, f"the sentence is {text!r}")


@suite.case("proxies of the environment are not used")
def _(s: Stage) -> None:
    from harness import pictures

    url = s.receiver.give("/direct.png", pictures.png())
    with Server(s.open.place, "proxied", wrapper=["env", "http_proxy=http://127.0.0.1:9", "all_proxy=http://127.0.0.1:9"]) as server:
        server.api.run({**QUICK, "images": [url]})


suite.main()
