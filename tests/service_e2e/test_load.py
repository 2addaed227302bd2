"""Many waiting clients at once, in short. Rates and memory over time: load.py, by `./dev bench service` and `./dev soak`."""

from __future__ import annotations

import load
from harness.server import Server, one_server
from harness.tap import Suite, expect, remark, until

suite = Suite("load", lambda: one_server(load.OPTIONS), 120)


@suite.case("500 event streams and 200 held sync calls at once all end well, without a thread for each")
def _(server: Server) -> None:
    load.crowd_of(server, 20, 10)
    before, descriptors = server.resident_bytes(), server.descriptors()
    crowd = load.crowd_of(server)
    growth = server.resident_bytes() - before
    remark(f"{crowd.events} events, polls p99 {load.quantile(crowd.polls_ms, 0.99):.1f} ms, +{growth >> 20} MiB, {crowd.threads} threads")
    expect(crowd.threads < 64, f"{crowd.threads} threads")
    expect(growth < 200 << 20, f"resident memory grew by {growth >> 20} MiB")
    until(lambda: server.descriptors() <= descriptors + 40, "descriptors are given back")  # the store keeps its readers


@suite.case("300 clients that hang up while they wait leave nothing behind")
def _(server: Server) -> None:
    name = server.api.submit(load.LONG)["id"]
    before = server.descriptors()
    lines = [f"GET /api/v3/predictions/{name}/{what} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode()
             for what in ("stream", "result?wait=60")]  # fmt: skip
    waiting = []
    for number in range(300):
        connection = server.api.connect()
        connection.sendall(lines[number % 2])
        waiting.append(connection)
    until(lambda: server.descriptors() >= before + 290, "all are connected")
    for connection in waiting:
        connection.close()
    until(lambda: server.descriptors() <= before + 40, "their descriptors are given back", 10)
    server.api.wait(name, 60, "completed")


suite.main()
