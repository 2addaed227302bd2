"""Webhooks: what is sent, signatures by the documented recipe, retries, redelivery, rotation, refusals."""

from __future__ import annotations

import contextlib
import urllib.parse
from typing import Any, Iterator

from harness.client import MULTI, NOWHERE, QUICK, SLOW
from harness.contract import check_error
from harness.receiver import Receiver, signature, verify
from harness.server import Server, Workplace
from harness.tap import Suite, equal, expect, until


class Stage:
    def __init__(self, server: Server, receiver: Receiver):
        self.server, self.receiver = server, receiver
        self.api = server.api
        self.log_tail = server.log_tail

    def submit(self, path: str, params: Any = None) -> str:
        url = urllib.parse.quote(self.receiver.url(path), safe="")
        return self.api.submit(params or QUICK, query=f"?webhook={url}")["id"]

    def secret(self) -> str:
        return self.api.get("/api/v3/webhook/secret").data["secret"]

    def deliveries(self, name: str) -> Any:
        return self.api.get(f"/api/v3/predictions/{name}/deliveries").data


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with Workplace() as place, Receiver() as receiver, Server(place, options={"webhook-timeout": "5s"}).with_clock() as server:
        yield Stage(server, receiver)


suite = Suite("webhooks", stage)


@suite.case("the recipe gives the published vector")
def _(_stage: Stage) -> None:
    found = signature("whsec_test-secret-0123456789", "0123456789abcdef0123456789abcdef", "1700000000",
                      b'{"id":"0123456789abcdef0123456789abcdef","status":"completed"}')  # fmt: skip
    equal(found, "v3,332a8e5bce640b83d0c902de6fbd7fc5a913d81839fb32b49d638becf2c49b3e", "signature")


@suite.case("a completed job is told once, as the bare prediction, signed by the recipe")
def _(s: Stage) -> None:
    name = s.submit("/done")
    (hook,) = s.receiver.wait_hooks("/done")
    verify(hook, s.secret())
    equal(hook.headers["content-type"].split(";")[0], "application/json", "Content-Type")
    body = hook.json()
    expect("data" not in body and "message" not in body, "the body is wrapped")
    equal((body["id"], body["status"], body["error"], body["model"]), (name, "completed", "", MULTI), "id, status, error, model")
    equal(body["outputs"], s.api.result(name)["outputs"], "outputs")
    equal(body["urls"]["get"], s.api.result(name)["urls"]["get"], "urls.get")
    expect(type(body["executionTime"]) is int and isinstance(body["timings"], dict), "executionTime and timings")
    equal(body["input"]["prompt"], QUICK["prompt"], "input.prompt")
    s.api.run(QUICK)  # another job has run since; still one webhook
    equal(len(s.receiver.hooks_at("/done")), 1, "webhooks")


@suite.case("the secret is whsec_ and 44 characters, one for each key, and stays")
def _(s: Stage) -> None:
    secret = s.secret()
    expect(secret.startswith("whsec_") and len(secret) >= 6 + 32, f"the secret is {len(secret)} characters, {secret[:6]}...")
    equal(s.secret(), secret, "the secret asked again")


@suite.case("a failed and a cancelled job are told with their reason")
def _(s: Stage) -> None:
    s.submit("/failed", {**QUICK, "images": [NOWHERE]})
    (hook,) = s.receiver.wait_hooks("/failed")
    verify(hook, s.secret())
    equal((hook.json()["status"], hook.json()["outputs"]), ("failed", []), "status and outputs")
    expect(hook.json()["error"], "no reason")
    slow = s.submit("/cancelled", SLOW)
    s.api.post(f"/api/v3/predictions/{slow}/cancel").data
    (hook,) = s.receiver.wait_hooks("/cancelled")
    equal(hook.json()["status"], "cancelled", "status")


@suite.case("webhook_url in the body works, the query wins, an unescaped query works")
def _(s: Stage) -> None:
    s.api.submit({**QUICK, "webhook_url": s.receiver.url("/by-body")})
    s.receiver.wait_hooks("/by-body")
    s.api.submit({**QUICK, "webhook_url": s.receiver.url("/loser")}, query="?webhook=" + s.receiver.url("/winner"))
    s.receiver.wait_hooks("/winner")
    equal(s.receiver.hooks_at("/loser"), [], "webhooks at the body's URL")


@suite.case("errors are tried again, each time with a fresh signature and the same webhook-id")
def _(s: Stage) -> None:
    s.receiver.answers["/shaky"] = [500, 302, 404]
    s.submit("/shaky")
    hooks = s.receiver.wait_hooks("/shaky", 4)
    for hook in hooks:
        verify(hook, s.secret())
    equal(len({hook.headers["webhook-id"] for hook in hooks}), 1, "webhook-ids")
    equal(len({hook.body for hook in hooks}), 1, "bodies")
    times = [hook.at for hook in hooks]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    expect(gaps[0] >= 0.9 and gaps[1] >= 1.8 and gaps[2] >= 3.6, f"the gaps are {gaps}, the backoff is 1, 2, 4 s")


@suite.case("a webhook is given up after its last try")
def _(s: Stage) -> None:
    s.receiver.answers["/never"] = [500] * 9
    name = s.submit("/never")
    s.receiver.wait_hooks("/never", 4)
    until(lambda: "failed" in str(s.deliveries(name)), "the delivery log says failed")
    equal(len(s.receiver.hooks_at("/never")), 4, "tries")


@suite.case("the delivery log tells tries, and a redelivery sends it again")
def _(s: Stage) -> None:
    s.receiver.answers["/logged"] = [503]
    name = s.submit("/logged")
    s.receiver.wait_hooks("/logged", 2)
    log = until(lambda: (lambda d: d if "delivered" in str(d) else None)(s.deliveries(name)), "the log says delivered")
    expect("503" in str(log), f"the log is {log}")
    s.api.post(f"/api/v3/predictions/{name}/redeliver").data
    hooks = s.receiver.wait_hooks("/logged", 3)
    verify(hooks[-1], s.secret())
    equal(hooks[-1].json(), hooks[0].json(), "body of the redelivery")


@suite.case("a receiver that is down for an hour gets its webhook afterwards")
def _(s: Stage) -> None:
    s.server.restart()
    s.receiver.stop()
    name = s.submit("/later")
    s.api.wait(name)
    until(lambda: "pending" in str(s.deliveries(name)) and tried(s, name), "a try has failed")
    s.receiver.start()
    s.server.move_clock(3600)
    (hook,) = s.receiver.wait_hooks("/later")
    verify(hook, s.secret(), now=hook.at + 3600)
    s.server.move_clock(0)


def tried(s: Stage, name: str) -> bool:
    return any(item.get("attempt", item.get("attempts", 0)) for item in entries(s.deliveries(name)))


def entries(data: Any) -> list[Any]:
    return data if isinstance(data, list) else data.get("items", [])


@suite.case("a webhook survives a restart between its tries")
def _(s: Stage) -> None:
    s.receiver.answers["/restart"] = [500]
    s.submit("/restart")
    s.receiver.wait_hooks("/restart", 1)
    s.server.restart()
    hooks = s.receiver.wait_hooks("/restart", 2)
    verify(hooks[1], s.secret())


@suite.case("a rotated secret signs the next webhook")
def _(s: Stage) -> None:
    old = s.secret()
    new = s.api.post("/api/v3/webhook/secret").data["secret"]
    expect(new != old, "the secret did not change")
    equal(s.secret(), new, "the secret asked again")
    s.submit("/rotated")
    verify(s.receiver.wait_hooks("/rotated")[0], new)


@suite.case("webhook_events_filter keeps a webhook to the events asked for")
def _(s: Stage) -> None:
    first = s.api.submit({**QUICK, "webhook_url": s.receiver.url("/filtered"), "webhook_events_filter": ["failed"]})["id"]
    s.api.wait(first)
    s.submit("/unfiltered")
    s.receiver.wait_hooks("/unfiltered")
    hooks, warned = s.receiver.hooks_at("/filtered"), str(s.api.result(first).get("warnings"))
    expect(hooks == [] or "webhook_events_filter" in warned, "a completed job was told")


@suite.case("a webhook with base64 output is refused with the documented sentence")
def _(s: Stage) -> None:
    reply = s.api.post(f"/api/v3/{MULTI}?webhook={s.receiver.url('/x')}", {**QUICK, "enable_base64_output": True})
    check_error(reply, 400, "^webhook callback does not support base64 output, please use the normal API to use base64 output$")


@suite.case("a webhook that is no fetchable URL is refused at submit")
def _(s: Stage) -> None:
    for url in ("ftp://example.com/x", "javascript:alert(1)", "example.com", "http://", "https://user:pw@example.com/", "//x/y",
                "http://example.com/%0d%0aX: y\r\n", "file:///etc/passwd", "http://[::1", "http://a b/"):  # fmt: skip
        quoted = urllib.parse.quote(url, safe="")
        check_error(s.api.post(f"/api/v3/{MULTI}?webhook={quoted}", QUICK), 400, "webhook|url|http|host")


@suite.case("a receiver that answers slowly or with endless bytes holds up nobody else")
def _(s: Stage) -> None:
    s.submit("/held-1")
    s.receiver.wait_hooks("/held-1")
    s.submit("/quick-one")
    s.receiver.wait_hooks("/quick-one", 1, 40)
    s.receiver.hold.set()


suite.main()
