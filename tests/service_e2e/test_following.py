"""Following a job: events with resume, long polls, cancel; and submits that come twice."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

from harness import pictures
from harness.client import MULTI, NOWHERE, QUICK, SLOW, STEPPED, Client, Event
from harness.contract import check_error, check_prediction
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect, until

suite = Suite("following", lambda: one_server({"preview-steps": "10", "concurrency": "3"}, clock=True))


def stream_path(name: str) -> str:
    return f"/api/v3/predictions/{name}/stream"


def cancel(server: Server, name: str) -> None:
    server.api.post(f"/api/v3/predictions/{name}/cancel")


# ---- Events ----


def read_all(client: Client, name: str, **headers: str) -> list[Event]:
    with client.events(stream_path(name), {k.replace("_", "-"): v for k, v in headers.items()}) as events:
        equal(events.status, 200, "status of the stream")
        expect(events.content_type.startswith("text/event-stream"), f"Content-Type {events.content_type}")
        return list(events)


@suite.case("a stream tells status and progress that only grows, and ends with the job's end")
def _(server: Server) -> None:
    events = read_all(server.api, server.api.submit(STEPPED)["id"])
    expect(len(events) >= 3, f"only {len(events)} events")
    for event in events:
        json.loads(event.data)
    progress = [e.json()["progress"] for e in events if isinstance(e.json(), dict) and "progress" in e.json()]
    equal(progress, sorted(progress), "progress")
    expect(any(0 < p < 1 for p in progress), f"no progress between 0 and 1: {progress}")
    last = events[-1].json()
    equal(last["status"], "completed", "status of the last event")
    equal(len(last["outputs"]), 1, "outputs of the last event")
    expect(all(e.id for e in events if e.name == "progress") and events[-1].id, "an event of progress or the end has no id")


@suite.case("a stream tells of previews, which are pictures")
def _(server: Server) -> None:
    name = server.api.submit({**STEPPED, "size": "256*256", "num_inference_steps": 50})["id"]
    with server.api.events(stream_path(name)) as events:
        for event in events:
            if event.name == "preview":
                said = event.json()
                url = next(v for v in said.values() if isinstance(v, str) and (v.startswith("http") or v.startswith("data:")))
                if url.startswith("http"):
                    preview = server.api.get(url).ok()
                    equal(pictures.kind(preview.body), "jpeg", "format of the preview")
                break
        else:
            raise AssertionError("the stream ended without a preview")
    cancel(server, name)


@suite.case("a stream of an ended job tells the result at once and ends")
def _(server: Server) -> None:
    done = server.api.run(QUICK)
    start = time.monotonic()
    events = read_all(server.api, done["id"])
    expect(time.monotonic() - start < 3, "it took long")
    equal(events[-1].json()["status"], "completed", "status")


@suite.case("a stream that was cut goes on behind Last-Event-ID and misses nothing of the end")
def _(server: Server) -> None:
    name = server.api.submit({**STEPPED, "num_inference_steps": 50})["id"]
    first: list[Event] = []
    with server.api.events(stream_path(name)) as events:
        for event in events:
            first.append(event)
            if len([e for e in first if e.name == "progress"]) == 3:
                break
    rest = read_all(server.api, name, Last_Event_ID=first[-1].id)
    told = [[e.id for e in events if e.name == "progress"] for events in (first, rest)]
    expect(not set(told[0]) & set(told[1]), f"told twice: {told}")
    equal(rest[-1].json()["status"], "completed", "status of the last event")
    equal(server.api.get(stream_path(name), headers={"Last-Event-ID": rest[-1].id}).status, 204, "status behind the end")
    for odd in ("nonsense", "-1", "99999999999999999999", ""):
        read_all(server.api, name, Last_Event_ID=odd)


@suite.case("a stream of a failed job ends with its error")
def _(server: Server) -> None:
    name = server.api.submit({**QUICK, "images": [NOWHERE]})["id"]
    last = read_all(server.api, name)[-1].json()
    equal((last["status"], last["code"]), ("failed", 1402), "status and code")


@suite.case("a stream of an unknown job is 404")
def _(server: Server) -> None:
    check_error(server.api.get(stream_path("0" * 32)), 404, "not found")


# ---- Long polls ----


@suite.case("?wait answers when the job ends, and not later than asked")
def _(server: Server) -> None:
    name = server.api.submit(STEPPED)["id"]
    equal(server.api.result(name, "?wait=20")["status"], "completed", "status after the wait")
    slow = server.api.submit(SLOW)["id"]
    start = time.monotonic()
    data = server.api.result(slow, "?wait=1")
    took = time.monotonic() - start
    expect(data["status"] in ("created", "processing") and 0.8 < took < 4, f"{data['status']} after {took:.1f} s")
    equal(data["code"], 0, "code")
    cancel(server, slow)
    start = time.monotonic()
    server.api.result(name, "?wait=20")
    expect(time.monotonic() - start < 2, "a wait for an ended job takes long")


@suite.case("?wait refuses what is no number of seconds")
def _(server: Server) -> None:
    name = server.api.run(QUICK)["id"]
    for text in ("soon", "-1", "1e9", "99999999999999999999"):
        reply = server.api.get(f"/api/v3/predictions/{name}/result?wait={text}")
        expect(reply.status in (200, 400), f"wait={text}: HTTP {reply.status}")


@suite.case("Prefer: wait is another way to ask for sync mode")
def _(server: Server) -> None:
    data = server.api.submit(QUICK, headers={"Prefer": "wait=20"})
    equal(data["status"], "completed", "status")
    for asked, applied in (("wait=2", 2), ("wait", 3), ("wait=20", 3), ("wait=9223372036854775807", 3), ("wait=99999999999999999999", 3)):
        reply = server.api.post(f"/api/v3/{MULTI}", QUICK, headers={"Prefer": asked})
        equal(reply.data["status"], "completed", f"status with {asked}")
        equal(reply.headers.get("Preference-Applied"), f"wait={applied}", f"Preference-Applied for {asked}")


# ---- Cancel ----


@suite.case("a queued job is cancelled at once")
def _(server: Server) -> None:
    first = server.api.submit(SLOW)["id"]
    queued = server.api.submit(QUICK)["id"]
    server.api.post(f"/api/v3/predictions/{queued}/cancel").data
    data = server.api.result(queued)
    check_prediction(data, server.base)
    equal(data["status"], "cancelled", "status")
    cancel(server, first)


@suite.case("a running job stops soon after its cancel and the next one runs")
def _(server: Server) -> None:
    for method, suffix in (("POST", "/cancel"), ("DELETE", "")):
        name = server.api.submit(SLOW)["id"]
        until(lambda: server.api.result(name).get("step", 0) > 0, "it runs")
        start = time.monotonic()
        server.api.request(method, f"/api/v3/predictions/{name}{suffix}").data
        data = until(lambda: (lambda d: d if d["status"] == "cancelled" else None)(server.api.result(name)), "it is cancelled")
        took = time.monotonic() - start
        expect(took < 3, f"{method}: it took {took:.1f} s")
        check_prediction(data, server.base)
        expect(data["executionTime"] >= 0, "executionTime")
    server.api.run(QUICK)


@suite.case("cancelling an ended job changes nothing")
def _(server: Server) -> None:
    done = server.api.run(QUICK)
    reply = server.api.post(f"/api/v3/predictions/{done['id']}/cancel")
    expect(reply.status in (200, 409), f"HTTP {reply.status}")
    equal(server.api.result(done["id"])["status"], "completed", "status")
    check_error(server.api.post(f"/api/v3/predictions/{'0' * 32}/cancel"), 404, "not found")


@suite.case("a cancel ends streams, waits and sync calls of the job")
def _(server: Server) -> None:
    name = server.api.submit(SLOW)["id"]
    with server.api.events(stream_path(name)) as events, server.api.connect(30) as waiting:
        waiting.sendall(
            f"GET /api/v3/predictions/{name}/result?wait=30 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {server.key}\r\n\r\n".encode()
        )
        iterator = iter(events)
        next(iterator)
        cancel(server, name)
        last = list(iterator)[-1].json()
        equal(last["status"], "cancelled", "last event")
        said = b""
        while piece := waiting.recv(65536):
            said += piece
        expect(b'"cancelled"' in said, f"the wait said {said[-300:]!r}")


# ---- Twice ----


def ids_of(server: Server, prompt: str) -> list[str]:
    items = server.api.post("/api/v3/predictions", {"page": 1, "page_size": 100, "include_inputs": True}).data["items"]
    return [item["id"] for item in items if item["input"]["prompt"] == prompt]


def vanish(server: Server, params: dict[str, Any], reset: bool) -> str:
    """A sync submit whose client goes away once the job is stored; the job's id."""
    body = json.dumps({**params, "enable_sync_mode": True}).encode()
    connection = server.api.connect()
    connection.sendall(
        f"POST /api/v3/{MULTI} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    before = set(ids_of(server, params["prompt"]))
    found = until(lambda: set(ids_of(server, params["prompt"])) - before or (before and {max(before)}), "the job is stored")
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return found.pop()


def again(server: Server, params: dict[str, Any]) -> Any:
    return server.api.submit({**params, "enable_sync_mode": True}, timeout=60)


def add_join(how: str, reset: bool) -> None:
    @suite.case(f"a sync submit whose client {how} is joined by its repeat while it runs")
    def _(server: Server) -> None:
        params = {**STEPPED, "prompt": f"joined, {how}", "num_inference_steps": 50}
        first = vanish(server, params, reset)
        pause_for_hang_up(server)
        data = again(server, params)
        equal(data["id"], first, "id of the repeat")
        equal(ids_of(server, params["prompt"]), [first], "jobs")


def pause_for_hang_up(server: Server) -> None:
    """The server has noticed that nobody waits any more."""
    until(lambda: metric(server, "waiting") == 0, "no exchange waits")


def metric(server: Server, word: str) -> float:
    text = server.anyone.get("/metrics").body.decode()
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if not line.startswith("#") and word in line.split("{")[0].split(" ")[0]]
    expect(values, f"no metric with '{word}' in its name")
    return float(values[0])


add_join("closes", False)
add_join("resets", True)


@suite.case("a repeat within a minute of the end joins; after a minute it is a new job")
def _(server: Server) -> None:
    params = {**STEPPED, "prompt": "joined after its end"}
    first = vanish(server, params, False)
    server.api.wait(first)
    equal(again(server, params)["id"], first, "id of the repeat after the end")
    second = vanish(server, {**params, "prompt": "joined too late"}, False)
    server.api.wait(second)
    server.move_clock(120)
    expect(again(server, {**params, "prompt": "joined too late"})["id"] != second, "joined two minutes later")


@suite.case("equal submits whose answers arrived are two jobs")
def _(server: Server) -> None:
    for sync in (False, True):
        params = {**QUICK, "prompt": f"twice {sync}", "enable_sync_mode": sync}
        first, second = server.api.submit(params), server.api.submit(params)
        expect(first["id"] != second["id"], f"one job (sync {sync})")


@suite.case("a joined repeat is told once: the next equal submit is a new job")
def _(server: Server) -> None:
    params = {**STEPPED, "prompt": "joined once"}
    first = vanish(server, params, False)
    pause_for_hang_up(server)
    equal(again(server, params)["id"], first, "the repeat")
    expect(again(server, params)["id"] != first, "the next one joined too")


@suite.case("another key or another body does not join")
def _(server: Server) -> None:
    params = {**STEPPED, "prompt": "not joined"}
    first = vanish(server, params, False)
    pause_for_hang_up(server)
    expect(again(server, {**params, "seed": 6})["id"] != first, "another body joined")
    other = server.make_key("somebody", balance=5)
    expect(other.submit({**params, "enable_sync_mode": True}, timeout=60)["id"] != first, "another key joined")


@suite.case("an Idempotency-Key gives the same job, also later, and refuses another body")
def _(server: Server) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = server.api.submit(QUICK, headers=headers)
    equal(server.api.submit(QUICK, headers=headers)["id"], first["id"], "id of the second submit")
    server.api.wait(first["id"])
    third = server.api.submit(QUICK, headers=headers)
    equal((third["id"], third["status"]), (first["id"], "completed"), "id and status of the third")
    reply = server.api.post(f"/api/v3/{MULTI}", {**QUICK, "seed": 8}, headers=headers)
    expect(reply.status in (400, 409, 422), f"another body: HTTP {reply.status}")
    check_error(reply, reply.status, "Idempotency-Key")
    other = server.make_key("elsewhere", balance=5)
    expect(other.submit(QUICK, headers=headers)["id"] != first["id"], "another key's job was given")
    expect(server.api.post(f"/api/v3/{MULTI}", QUICK, headers={"Idempotency-Key": "x" * 3000}).status in (200, 400, 431), "a long one")


@suite.case("fifty equal submits at once with one Idempotency-Key are one job")
def _(server: Server) -> None:
    body = json.dumps(QUICK).encode()
    connections = [server.api.connect() for _ in range(50)]
    request = (
        f"POST /api/v3/{MULTI} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: flood\r\n"
        f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    for connection in connections:
        connection.sendall(request)
    ids = set()
    for connection in connections:
        said = b""
        while piece := connection.recv(65536):
            said += piece
        connection.close()
        ids.add(json.loads(said.split(b"\r\n\r\n", 1)[1])["data"]["id"])
    equal(len(ids), 1, "jobs")


suite.main()
