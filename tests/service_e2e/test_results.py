"""Results: sync mode, base64, both paths, files, history, delete."""

from __future__ import annotations

import base64
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from harness import pictures
from harness.client import MULTI, NOWHERE, QUICK, SLOW, ULTRA_FAST
from harness.contract import check_error, check_prediction
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect, until

suite = Suite("results", one_server)
HISTORY = "/api/v3/predictions"
# Runs for several seconds at a low memory cost, so that a sync call outlives its window.
LONG = {**SLOW, "prompt": "longer than the window"}


@suite.case("both result paths answer the same")
def _(server: Server) -> None:
    done = server.api.run(QUICK)
    other = server.api.get(f"/api/v3/predictions/{done['id']}").data
    check_prediction(other, server.base)
    equal(other, server.api.result(done["id"]), "the prediction")


@suite.case("urls.get is absolute and answers with the key")
def _(server: Server) -> None:
    done = server.api.run(QUICK)
    equal(server.api.get(done["urls"]["get"]).data["id"], done["id"], "id")


@suite.case("a GET with a JSON Content-Type and no body is fine")
def _(server: Server) -> None:
    done = server.api.run(QUICK)
    server.api.get(f"/api/v3/predictions/{done['id']}/result", headers={"Content-Type": "application/json"}).data


@suite.case("an unknown prediction is 404, whatever the id looks like")
def _(server: Server) -> None:
    for name in ("0" * 32, "nothing", "pred_abc123", "a" * 500, "'--"):
        check_error(server.api.get(f"/api/v3/predictions/{name}/result"), 404, "not found")
    for name in ("%2e%2e", "%00", "%2f"):
        expect(server.api.get(f"/api/v3/predictions/{name}/result").status in (400, 404, 405), name)


@suite.case("sync mode answers with the completed result")
def _(server: Server) -> None:
    data = server.api.submit({**QUICK, "enable_sync_mode": True})
    check_prediction(data, server.base)
    equal(data["status"], "completed", "status")
    equal(len(server.api.outputs(data)), 1, "outputs")


@suite.case("sync mode answers with a failure as HTTP 200")
def _(server: Server) -> None:
    data = server.api.submit({**QUICK, "enable_sync_mode": True, "images": [NOWHERE]})
    equal((data["status"], data["code"]), ("failed", 1402), "status and code")
    check_prediction(data, server.base)


@suite.case("when the sync window ends, the answer is 5004 with the words that clients look for")
def _(server: Server) -> None:
    start = time.monotonic()
    data = server.api.submit({**LONG, "enable_sync_mode": True})
    took = time.monotonic() - start
    equal((data["status"], data["code"], data["outputs"]), ("processing", 5004, []), "status, code and outputs")
    expect("Sync mode timed out" in data["error"], f"error is {data['error']!r}")
    equal(data["urls"]["get"], f"{server.base}/api/v3/predictions/{data['id']}/result", "urls.get")
    expect(2.5 < took < 8, f"the window of 3 s took {took:.1f} s")
    later = server.api.result(data["id"])
    expect(later["status"] in ("processing", "completed") and later["code"] == 0, f"then it is {later['status']} {later['code']}")
    server.api.post(f"/api/v3/predictions/{data['id']}/cancel").data


@suite.case("a sync call that vanishes leaves its job running")
def _(server: Server) -> None:
    body = b'{"prompt":"vanishing","size":"128*128","num_inference_steps":40,"seed":3,"enable_sync_mode":true}'
    with server.api.connect() as connection:
        connection.sendall(
            b"POST /api/v3/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (MULTI.encode(), (server.api.key or "").encode(), len(body), body)
        )
        until(lambda: [i for i in history(server)["items"] if i.get("input", {}).get("prompt") == "vanishing"], "the job is stored")
    found = [i for i in history(server)["items"] if i["input"]["prompt"] == "vanishing"]
    equal(len(found), 1, "jobs")
    server.api.wait(found[0]["id"], 30, "completed")


@suite.case("base64 outputs are naked base64 of the file, in sync answers and results")
def _(server: Server) -> None:
    data = server.api.submit({**QUICK, "enable_sync_mode": True, "enable_base64_output": True, "output_format": "png"})
    for answer in (data, server.api.result(data["id"])):
        (text,) = answer["outputs"]
        expect("\n" not in text and not text.startswith("data:"), f"the output begins {text[:40]!r}")
        decoded = base64.b64decode(text, validate=True)
        equal(pictures.size(decoded), (64, 64), "size of the decoded picture")
    plain = server.api.run({**QUICK, "output_format": "png"})
    equal(server.api.outputs(plain), [decoded], "bytes of the same job as URL")


# ---- Files ----


@suite.case("an output is given without a key, with type, length, etag and cache headers")
def _(server: Server) -> None:
    (url,) = server.api.run({**QUICK, "output_format": "png"})["outputs"]
    reply = server.anyone.get(url).ok()
    equal(reply.headers["Content-Type"], "image/png", "Content-Type")
    equal(int(reply.headers["Content-Length"]), len(reply.body), "Content-Length")
    expect(reply.headers["ETag"] and reply.headers["Cache-Control"], "no ETag or no Cache-Control")
    equal(reply.headers["X-Content-Type-Options"], "nosniff", "X-Content-Type-Options")
    head = server.anyone.request("HEAD", url)
    equal((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(reply.body))), "HEAD")
    same = server.anyone.get(url, headers={"If-None-Match": reply.headers["ETag"]})
    equal((same.status, same.body), (304, b""), "with If-None-Match")


RANGES: list[tuple[str, int, Any]] = [
    ("bytes=0-9", 206, lambda b: b[:10]),
    ("bytes=10-", 206, lambda b: b[10:]),
    ("bytes=-7", 206, lambda b: b[-7:]),
    ("bytes=0-999999999", 206, lambda b: b),
    ("bytes=-999999999", 206, lambda b: b),
    ("bytes=0-0", 206, lambda b: b[:1]),
    ("bytes=999999999-", 416, None),
    ("bytes=-0", 416, None),
    ("bytes=9-3", 200, lambda b: b),
    ("bytes=0-1,4-5", 200, lambda b: b),
    ("lines=0-9", 200, lambda b: b),
    ("bytes=", 200, lambda b: b),
    ("bytes=a-b", 200, lambda b: b),
    ("bytes=18446744073709551616-", None, None),
    ("bytes=0-18446744073709551616", None, None),
]


@suite.case("ranges of an output: one is answered, a bad one is ignored, one behind the end is 416")
def _(server: Server) -> None:
    (url,) = server.api.run({**QUICK, "output_format": "png"})["outputs"]
    whole = server.anyone.get(url).ok().body
    for text, status, part in RANGES:
        reply = server.anyone.get(url, headers={"Range": text})
        if status is None:
            expect(reply.status in (200, 206, 416), f"{text}: HTTP {reply.status}")
            continue
        equal(reply.status, status, f"status for {text}")
        if part:
            equal(reply.body, part(whole), f"bytes for {text}")
        if status == 206:
            expect(reply.headers["Content-Range"].endswith(f"/{len(whole)}"), f"Content-Range {reply.headers['Content-Range']}")


@suite.case("files that are none are 404, paths that leave the folder too")
def _(server: Server) -> None:
    names = ["none.png", "0" * 32 + ".png", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "../../etc/passwd", "a/b/c.png",
             "..\\..\\x.png", "%00.png", "x" * 3000 + ".png", ".png", ""]  # fmt: skip
    for name in names:
        reply = server.anyone.get(f"/files/{name}")
        expect(reply.status in (400, 404, 414), f"/files/{name[:60]}: HTTP {reply.status}")
        expect(b"root:" not in reply.body, "a file of the system was given")
    (url,) = server.api.run(QUICK)["outputs"]
    wrong = url.rsplit(".", 1)[0] + ".html"
    expect(server.anyone.get(wrong).status in (200, 404), "another suffix")
    if server.anyone.get(wrong).status == 200:
        equal(server.anyone.get(wrong).headers["Content-Type"], "image/jpeg", "Content-Type with another suffix")


# ---- History ----


def history(server: Server, **body: Any) -> Any:
    return server.api.post(HISTORY, {"page": 1, "page_size": 100, "include_inputs": True, **body}).data


@suite.case("history tells whole predictions, newest first, in pages that join to the whole")
def _(server: Server) -> None:
    ids = [server.api.submit({**QUICK, "seed": i})["id"] for i in range(7)]
    for name in ids:
        server.api.wait(name)
    page = history(server)
    equal(page["page"], 1, "page")
    expect(type(page["total"]) is int and page["total"] >= 7, f"total is {page['total']!r}")
    for item in page["items"]:
        check_prediction(item, server.base)
    equal([i["id"] for i in page["items"][:7]], ids[::-1], "order")
    created = [i["created_at"] for i in page["items"]]
    equal(created, sorted(created, reverse=True), "order of created_at")
    joined: list[str] = []
    for number in range(1, 100):
        items = history(server, page=number, page_size=3)["items"]
        if not items:
            break
        joined += [i["id"] for i in items]
    equal(joined, [i["id"] for i in page["items"]], "the pages together")


@suite.case("history filters by model, status and time")
def _(server: Server) -> None:
    fast = server.api.run(QUICK, ULTRA_FAST)
    expect({i["model"] for i in history(server, model=ULTRA_FAST)["items"]} == {ULTRA_FAST}, "filter by model")
    expect(fast["id"] in [i["id"] for i in history(server, status="completed")["items"]], "filter by status")
    expect({i["status"] for i in history(server, status="failed")["items"]} <= {"failed"}, "filter by another status")
    equal(history(server, model="nobody/nothing")["items"], [], "items of an unknown model")
    now = datetime.now(timezone.utc)

    def text(when: datetime) -> str:
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    day = {"created_after": text(now - timedelta(days=1)), "created_before": text(now + timedelta(minutes=1))}
    expect(fast["id"] in [i["id"] for i in history(server, **day)["items"]], "the window of a day")
    equal(history(server, created_after=text(now + timedelta(hours=1)))["items"], [], "items of the future")
    equal(history(server, created_before=text(now - timedelta(days=1)))["items"], [], "items of the past")
    equal(history(server, created_after=fast["created_at"], created_before=fast["created_at"])["total"] <= 1, True, "one instant")


@suite.case("history keeps inputs to itself unless asked")
def _(server: Server) -> None:
    server.api.run(QUICK)
    items = server.api.post(HISTORY, {"page": 1, "page_size": 5}).data["items"]
    expect(items and all("inputs" not in item for item in items), "inputs stand in the items")
    expect(history(server)["items"][0]["input"]["prompt"] == QUICK["prompt"], "include_inputs gives no input")


@suite.case("history refuses bad pages and times")
def _(server: Server) -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"page": 0}, "page"), ({"page": -1}, "page"), ({"page": "one"}, "page"), ({"page": 1.5}, "page"),
        ({"page_size": 0}, "page_size"), ({"page_size": 101}, "page_size"), ({"page_size": []}, "page_size"),
        ({"created_after": "yesterday"}, "created_after"), ({"created_before": 3}, "created_before"),
        ({"model": 3}, "model"), ({"status": []}, "status"), ({"include_inputs": "yes"}, "include_inputs"),
    ]  # fmt: skip
    for body, word in rows:
        check_error(server.api.post(HISTORY, {"page": 1, "page_size": 10, **body}), 400, word)
    for query, found in (("page=one", 'page: .*"one" is found'), ("page_size=", "page_size"), ("include_inputs=yes", 'include_inputs: .*"yes" is found')):
        check_error(server.api.get(f"{HISTORY}?{query}"), 400, found)
    expect("input" in server.api.get(f"{HISTORY}?page=1&include_inputs=true").data["items"][0], "include_inputs of a query gives no input")
    reply = server.api.post(HISTORY, {"page": 1, "page_size": 10, "status": "sleeping"})
    expect(reply.status == 400 or reply.data["items"] == [], "an unknown status gives items")
    equal(history(server, page=1000000)["items"], [], "a page far behind the end")


# ---- Delete ----


@suite.case("deleted predictions and their files are gone")
def _(server: Server) -> None:
    first, second = server.api.run(QUICK), server.api.run({**QUICK, "seed": 99})
    reply = server.api.post("/api/v3/predictions/delete", {"ids": [first["id"], "0" * 32]})
    equal(reply.data, {"deleted_count": 1}, "data")
    gone = server.api.get(f"/api/v3/predictions/{first['id']}/result")
    expect(gone.status == 404 or gone.data["status"] == "deleted", f"then it is {gone.status} {gone.body[:200]!r}")
    expect(first["id"] not in [i["id"] for i in history(server)["items"]], "it stands in the history")
    equal(server.anyone.get(first["outputs"][0]).status, 404, "its file")
    server.api.download(second["outputs"][0])
    equal(server.api.post("/api/v3/predictions/delete", {"ids": [first["id"]]}).data, {"deleted_count": 0}, "a second time")


@suite.case("delete refuses what is no list of ids")
def _(server: Server) -> None:
    for body in ({}, {"ids": "x"}, {"ids": [3]}, {"ids": None}, {"ids": {}}):
        check_error(server.api.post("/api/v3/predictions/delete", body), 400, "ids")
    empty = server.api.post("/api/v3/predictions/delete", {"ids": []})
    expect(empty.status == 400 or empty.data == {"deleted_count": 0}, f"an empty list: {empty.body[:200]!r}")


@suite.case("DELETE on an ended prediction deletes it")
def _(server: Server) -> None:
    done = server.api.run(QUICK)
    server.api.request("DELETE", f"/api/v3/predictions/{done['id']}").data
    gone = server.api.get(f"/api/v3/predictions/{done['id']}/result")
    expect(gone.status == 404 or gone.data["status"] == "deleted", f"then it is {gone.status}")


suite.main()
