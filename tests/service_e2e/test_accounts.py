"""Keys, roles, rates, concurrency, balance, price, billing and usage."""

from __future__ import annotations

import http.client
import re
import time
from typing import Any

from harness import pictures
from harness.client import MULTI, NOWHERE, QUICK, SINGLE, SLOW, STEPPED, ULTRA_FAST, Client, multipart
from harness.contract import check_error
from harness.server import Server, kontext, one_server
from harness.tap import Suite, equal, expect, until

suite = Suite("accounts", one_server)
PRICES = {MULTI: 0.03, ULTRA_FAST: 0.025, SINGLE: 0.025}
NEEDS_KEY = [
    ("POST", f"/api/v3/{MULTI}"), ("GET", "/api/v3/balance"), ("GET", "/api/v3/models"), ("POST", "/api/v3/predictions"),
    ("POST", "/api/v3/predictions/delete"), ("POST", "/api/v3/media/uploads"), ("POST", "/api/v3/media/upload/binary"),
    ("POST", "/api/v3/model/price"), ("POST", "/api/v3/model/pricing"), ("GET", "/api/v3/webhook/secret"),
    ("POST", "/api/v3/billings/search"), ("POST", "/api/v3/user/usage_stats"),
    ("GET", "/api/v3/predictions/" + "0" * 32 + "/result"), ("GET", "/api/v3/predictions/" + "0" * 32),
    ("POST", "/api/v3/predictions/" + "0" * 32 + "/cancel"), ("DELETE", "/api/v3/predictions/" + "0" * 32),
    ("GET", "/api/v3/predictions/" + "0" * 32 + "/stream"), ("POST", f"/api/v2/{MULTI}"),
]  # fmt: skip


@suite.case("every route of the contract is 401 without a key and with a wrong one")
def _(server: Server) -> None:
    for method, path in NEEDS_KEY:
        body = {} if method == "POST" else None
        for key in (None, "wrong", "kx_" + "0" * 40, ""):
            check_error(server.anyone.with_key(key).request(method, path, body), 401, "key")
    for header in (f"Basic {server.key}", f"{server.key}", "Bearer", f"Token {server.key}", f"Bearer {server.key}x", "Bearer  "):
        check_error(server.anyone.get("/api/v3/balance", headers={"Authorization": header}), 401, "key")


@suite.case("the scheme's name counts in any case")
def _(server: Server) -> None:
    for scheme in ("bearer", "BEARER"):
        server.anyone.get("/api/v3/balance", headers={"Authorization": f"{scheme} {server.key}"}).data


@suite.case("a key of role read reads and does not submit")
def _(server: Server) -> None:
    reader = server.make_key("reader", role="read")
    reader.get("/api/v3/models").data
    reader.get("/api/v3/balance").data
    check_error(reader.post(f"/api/v3/{MULTI}", QUICK), 403, "role|submit|permission|allow")
    check_error(reader.post("/api/v3/media/upload/binary", *multipart(pictures.png(), "a.png")), 403, "role|submit|permission|allow")


@suite.case("a key sees only its own predictions, uploads, history, billing and webhook secret")
def _(server: Server) -> None:
    mine, other = server.make_key("mine", balance=5), server.make_key("other", balance=5)
    done = mine.run(QUICK)
    path = f"/api/v3/predictions/{done['id']}"
    for reply in (other.get(f"{path}/result"), other.get(path), other.post(f"{path}/cancel"), other.request("DELETE", path),
                  other.get(f"{path}/stream"), other.get(f"/api/v2/predictions/{done['id']}/result")):  # fmt: skip
        check_error(reply, 404, "not found")
    equal(other.post("/api/v3/predictions", {"page": 1, "page_size": 10}).data["items"], [], "history of the other")
    equal(other.post("/api/v3/predictions/delete", {"ids": [done["id"]]}).data["deleted_count"], 0, "deleted by the other")
    equal(other.post("/api/v3/user/usage_stats", {}).data["summary"]["total_requests"], 0, "usage of the other")
    billed = other.post("/api/v3/billings/search", {"page": 1, "page_size": 10}).data["items"]
    expect(all((i.get("prediction") or {}).get("uuid") != done["id"] for i in billed), "billing of the other")
    expect(mine.get("/api/v3/webhook/secret").data["secret"] != other.get("/api/v3/webhook/secret").data["secret"], "one secret")
    equal(mine.result(done["id"])["status"], "completed", "and it is still")


@suite.case("a revoked key ends at once, a rotated one has a new value, also while the server runs")
def _(server: Server) -> None:
    key = server.make_key("short-lived")
    key.get("/api/v3/balance").data
    kontext("key", "revoke", "--data", str(server.data), "short-lived")
    until(lambda: key.get("/api/v3/balance").status == 401, "the revoked key is refused", 5)
    turned = server.make_key("turned")
    turned.get("/api/v3/balance").data
    said = kontext("key", "rotate", "--data", str(server.data), "turned").stdout
    found = re.search(r"kx_[0-9a-f]{40}", said)
    expect(found, f"kontext key rotate says {said!r}")
    assert found
    turned.with_key(found.group()).get("/api/v3/balance").data
    until(lambda: turned.get("/api/v3/balance").status == 401, "the old value is refused", 5)


@suite.case("an admin revokes a key by uuid or by name, and is told what became of it")
def _(server: Server) -> None:
    for name, by in (("by-name", "name"), ("by-uuid", "uuid")):
        key = server.make_key(name)
        row = next(row for row in server.api.get("/api/v3/admin/keys").data["items"] if row["name"] == name)
        told = server.api.request("DELETE", f"/api/v3/admin/keys/{row[by]}").data
        equal((told["uuid"], told["name"]), (row["uuid"], name), "the key")
        expect(told["revoked_at"], f"it is not revoked: {told}")
        equal(key.get("/api/v3/balance").status, 401, "the status of its next request")
    check_error(server.api.request("DELETE", "/api/v3/admin/keys/by-name"), 404, "no such key")


@suite.case("kontext key list names keys and shows no values")
def _(server: Server) -> None:
    key = server.make_key("listed")
    said = kontext("key", "list", "--data", str(server.data)).stdout
    expect("listed" in said, f"the list is {said!r}")
    expect((key.key or "") not in said and (server.key or "") not in said, "the list shows a key")


@suite.case("no key, prompt or secret stands in the data folder or the log")
def _(server: Server) -> None:
    server.api.run({**QUICK, "prompt": "zanzibarquartz"})
    log = server.log_path.read_bytes()
    expect((server.key or "").encode() not in log, "the log holds the key")
    expect(b"zanzibarquartz" not in log, "the log holds the prompt")
    for path in server.data.rglob("*"):
        if path.is_file():
            expect((server.key or "").encode() not in path.read_bytes(), f"{path.name} holds the key")


# ---- Rates and turns ----


@suite.case("submits over a key's rate are 429 with Retry-After; polls are not limited")
def _(server: Server) -> None:
    key = server.make_key("hasty", submits_per_minute=3, balance=5)
    replies = [key.post(f"/api/v3/{MULTI}", {**QUICK, "seed": i}) for i in range(6)]
    statuses = [reply.status for reply in replies]
    equal(statuses[:3], [200, 200, 200], "the first three")
    expect(429 in statuses[3:5], f"statuses {statuses}")
    refused = next(reply for reply in replies if reply.status == 429)
    check_error(refused, 429, "rate|minute|fast|many")
    retry = refused.headers["Retry-After"]
    expect(retry is not None and retry.isdigit() and 1 <= int(retry) <= 60, f"Retry-After is {retry!r}")
    name = replies[0].data["id"]
    equal({key.get(f"/api/v3/predictions/{name}/result").status for _ in range(200)}, {200}, "statuses of polls")


@suite.case("more jobs than a key's concurrency wait, and all end")
def _(server: Server) -> None:
    key = server.make_key("wide", concurrency=1, balance=50)
    ids = [key.submit({**STEPPED, "seed": i})["id"] for i in range(6)]
    seen = [key.result(name) for name in ids]
    expect(sum(item["status"] == "processing" for item in seen) <= 1, "two run at once")
    waiting = [item for item in seen if item["status"] == "created"]
    expect(waiting, "none waits")
    positions = [item["queue_position"] for item in waiting]
    equal(positions, sorted(positions), "queue_position in order of submits")
    for name in ids:
        key.wait(name, 60, "completed")


@suite.case("keys take turns: a long queue of one does not hold up another")
def _(server: Server) -> None:
    greedy, modest = server.make_key("greedy", balance=50), server.make_key("modest", balance=50)
    ids = [greedy.submit({**STEPPED, "seed": i})["id"] for i in range(12)]
    modest.wait(modest.submit(QUICK)["id"], 60, "completed")
    left = [name for name in ids if greedy.result(name)["status"] == "created"]
    expect(len(left) >= 4, f"only {len(left)} of 12 were still waiting")
    for name in ids:
        greedy.post(f"/api/v3/predictions/{name}/cancel").data


@suite.case("one key's jobs end in the order of their submits")
def _(server: Server) -> None:
    key = server.make_key("orderly", concurrency=1, balance=50)
    ids = [key.submit({**STEPPED, "seed": i})["id"] for i in range(5)]
    order: list[str] = []
    while len(order) < len(ids):
        for name in ids:
            if name not in order and key.result(name)["status"] == "completed":
                order.append(name)
    equal(order, ids, "order")


# ---- Money ----


def near(found: float, wanted: float, what: str) -> None:
    expect(abs(found - wanted) < 1e-9, f"{what} is {found!r}, expected {wanted!r}")


@suite.case("the balance is a number, reserved at submit, captured at the end, to the micro-dollar")
def _(server: Server) -> None:
    key = server.make_key("payer", balance=1)
    near(key.balance(), 1, "the balance")
    done = key.run({**QUICK, "num_images": 3})
    near(done["price"], 0.09, "price")
    near(key.balance(), 0.91, "the balance after three pictures")
    key.run(QUICK, ULTRA_FAST)
    near(key.balance(), 0.885, "the balance after one of multi-ultra-fast")


@suite.case("failed and cancelled jobs cost nothing")
def _(server: Server) -> None:
    key = server.make_key("careful", balance=1)
    key.wait(key.submit({**QUICK, "images": [NOWHERE]})["id"], status="failed")
    near(key.balance(), 1, "the balance after a failure")
    running = key.submit(SLOW)["id"]
    near(key.balance(), 0.88, "the balance while it runs")
    key.post(f"/api/v3/predictions/{running}/cancel").data
    key.wait(running, status="cancelled")
    near(key.balance(), 1, "the balance after a cancel")
    equal(key.result(running)["charge"], "released", "charge of the cancelled one")
    near(key.result(running)["price"], 0.12, "the price that it had reserved")


@suite.case("too little credit is the documented 400, and leaves no job")
def _(server: Server) -> None:
    key = server.make_key("poor", balance="0.05")
    key.run(QUICK)
    check_error(key.post(f"/api/v3/{MULTI}", QUICK), 400, r"^Insufficient credits\. Please top up\.$")
    near(key.balance(), 0.02, "the balance")
    equal(key.post("/api/v3/predictions", {"page": 1, "page_size": 10}).data["total"], 1, "jobs")


@suite.case("twenty submits at once with credit for five make five jobs")
def _(server: Server) -> None:
    key = server.make_key("crowd", balance="0.15")
    body = b'{"prompt":"a","size":"64*64","num_inference_steps":1}'
    connections = [http.client.HTTPConnection(key.host, key.port, timeout=30) for _ in range(20)]
    for connection in connections:
        connection.request("POST", f"/api/v3/{MULTI}", body, {"Authorization": f"Bearer {key.key}", "Content-Type": "application/json"})
    statuses = sorted(connection.getresponse().status for connection in connections)
    equal(statuses, [200] * 5 + [400] * 15, "statuses")
    near(key.balance(), 0, "the balance")


def price(api: Client, path: str, model: str, inputs: Any) -> Any:
    return api.post(path, {"model_id": model, "inputs": inputs}).data


@suite.case("both price routes quote every model, with all the names that clients read")
def _(server: Server) -> None:
    for path in ("/api/v3/model/price", "/api/v3/model/pricing"):
        for model, wanted in PRICES.items():
            for inputs, count in (({}, 1), ({"num_images": 4, "images": ["http://unreachable.invalid/a.png"]}, 4), ({"prompt": "x"}, 1)):
                quote = price(server.api, path, model, inputs)
                equal(quote["model_id"], model, "model_id")
                for name in ("price", "discounted_price", "unit_price"):
                    near(quote[name], wanted * count, f"{path} {name}")
                equal(quote["currency"], "USD", "currency")
    check_error(server.api.post("/api/v3/model/price", {"model_id": "nobody/nothing", "inputs": {}}), 400, "product not found")
    check_error(server.api.post("/api/v3/model/price", {"inputs": {}}), 400, "model_id: .* nothing is found")


@suite.case("the inputs of a price are an object, null or absent")
def _(server: Server) -> None:
    for path, field in (("/api/v3/model/price", "model_id"), ("/center/default/api/v1/model_product/calculate", "model_uuid")):
        for inputs, found in (([], "an array"), (3, "3"), ("x", '"x"'), (False, "false")):
            check_error(server.api.post(path, {field: MULTI, "inputs": inputs}), 400, f"inputs: an object is expected, {found} is found")
        for body in ({}, {"inputs": None}):
            near(server.api.post(path, {field: MULTI, **body}).data["price"], PRICES[MULTI], "the base price")


@suite.case("billing has a row for each completed job, in pages")
def _(server: Server) -> None:
    key = server.make_key("billed", balance=1)
    ids = [key.run({**QUICK, "seed": i})["id"] for i in range(5)]
    data = key.post("/api/v3/billings/search", {"page": 1, "page_size": 100}).data
    equal((data["page"], data["has_more"]), (1, False), "page and has_more")
    for row in (row for row in data["items"] if row.get("prediction")):
        expect(isinstance(row["uuid"], str) and isinstance(row["billing_type"], str), f"row {row}")
        expect(row["created_at"].endswith("Z"), f"created_at {row['created_at']}")
        expect(set(row["prediction"]) >= {"uuid", "model_uuid", "status"}, f"prediction {row['prediction']}")
    only = key.post("/api/v3/billings/search", {"page": 1, "page_size": 100, "billing_type": "capture"}).data["items"]
    equal(sorted(row["prediction"]["uuid"] for row in only), sorted(ids), "predictions that were captured")
    near(sum(row["price"] for row in only), 0.15, "sum of the prices")
    near(sum(row["amount"] for row in data["items"]), 0.85, "sum of the ledger")
    first = key.post("/api/v3/billings/search", {"page": 1, "page_size": 2}).data
    equal((len(first["items"]), first["has_more"]), (2, True), "a page of two")
    for body, word in (({"page": 0}, "page"), ({"page_size": 1000}, "page_size"), ({"start_time": "x"}, "start_time"), ({"billing_type": 3}, "billing_type")):
        check_error(key.post("/api/v3/billings/search", {"page": 1, "page_size": 10, **body}), 400, word)


@suite.case("usage tells sums by model and by day")
def _(server: Server) -> None:
    key = server.make_key("used", balance=1)
    key.run(QUICK)
    key.run({**QUICK, "num_images": 2})
    key.run(QUICK, ULTRA_FAST)
    now = time.strftime("%Y-%m-%d", time.gmtime())
    span = {"start_time": f"{now}T00:00:00Z", "end_time": f"{now}T23:59:59.999Z"}
    data = key.post("/api/v3/user/usage_stats", span).data
    models = {row["model_uuid"]: row for row in data["per_model_usage"]}
    near(models[MULTI]["total_cost"], 0.09, "total_cost of multi")
    equal(models[MULTI]["total_count"], 2, "total_count of multi")
    near(data["summary"]["total_cost"], 0.115, "total_cost")
    equal((data["summary"]["total_requests"], data["summary"]["success_requests"]), (3, 3), "requests")
    equal([(row["date"][:10], row["count"]) for row in data["daily_usage"]], [(now, 3)], "daily_usage")
    only = key.post("/api/v3/user/usage_stats", {**span, "model_uuid": ULTRA_FAST}).data
    near(only["summary"]["total_cost"], 0.025, "total_cost of one model")


suite.main()
