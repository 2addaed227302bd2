"""The catalogue, public and with a key, the documents, health, limits, metrics, and headers for browsers."""

from __future__ import annotations

import re
from typing import Any

from harness.client import MODELS, MULTI, QUICK, SINGLE
from harness.contract import check_error, is_number
from harness.server import Server, one_server
from harness.tap import Suite, equal, expect

suite = Suite("catalogue", one_server)
FIELDS = ["prompt", "images", "size", "num_inference_steps", "guidance_scale", "num_images", "seed", "output_format",
          "enable_base64_output", "enable_sync_mode"]  # fmt: skip


def schema_of(entry: Any) -> Any:
    return entry["api_schema"]["api_schemas"][0]["request_schema"]


@suite.case("the catalogue is one array with the keys that clients read")
def _(server: Server) -> None:
    data = server.api.get("/api/v3/models?page=2&size=1&search=zzz").data
    expect(isinstance(data, list), "data is no array")
    equal(sorted(entry["model_id"] for entry in data), sorted(MODELS), "models")
    for entry in data:
        equal(entry["name"], entry["model_id"], "name")
        expect(is_number(entry["base_price"]) and 0 < entry["base_price"] < 1, f"base_price {entry['base_price']!r}")
        expect(isinstance(entry["description"], str) and entry["description"], "no description")
        equal(entry["type"], "image-to-image", "type")
        expect(type(entry["sort_order"]) is int and entry["sort_order"] <= 10000, f"sort_order {entry['sort_order']!r}")
        (row,) = entry["api_schema"]["api_schemas"]
        equal((row["type"], row["method"]), ("model_run", "POST"), "type and method")
        equal((row["server"], row["api_path"]), (server.base, f"/api/v3/{entry['model_id']}"), "server and api_path")


@suite.case("the schema of multi has the documented fields, ranges and defaults")
def _(server: Server) -> None:
    schema = schema_of(next(e for e in server.api.get("/api/v3/models").data if e["model_id"] == MULTI))
    equal((schema["type"], schema["additionalProperties"], schema["required"]), ("object", False, ["prompt"]), "the object")
    equal(schema["x-order-properties"], FIELDS, "x-order-properties")
    p = schema["properties"]
    equal(sorted(p), sorted(FIELDS), "properties")
    equal([p[name]["type"] for name in FIELDS],
          ["string", "array", "string", "integer", "number", "integer", "integer", "string", "boolean", "boolean"], "types")  # fmt: skip
    equal((p["images"]["items"]["type"], p["images"]["maxItems"]), ("string", 4), "images")
    equal((p["num_inference_steps"]["minimum"], p["num_inference_steps"]["maximum"]), (1, 50), "steps")
    equal((p["guidance_scale"]["minimum"], p["guidance_scale"]["maximum"], p["guidance_scale"]["default"]), (1, 20, 2.5), "guidance")
    equal((p["num_images"]["minimum"], p["num_images"]["maximum"], p["num_images"]["default"]), (1, 4, 1), "num_images")
    equal(p["seed"]["default"], -1, "seed")
    equal((p["output_format"]["enum"], p["output_format"]["default"]), (["jpeg", "png", "webp"], "jpeg"), "output_format")
    for name in ("enable_base64_output", "enable_sync_mode"):
        equal((p[name]["default"], p[name]["disabled"]), (False, True), name)
    expect("enum" not in p["size"] and p["size"]["minimum"] < p["size"]["maximum"], f"size is {p['size']}")


@suite.case("the model of one picture lists image and not images")
def _(server: Server) -> None:
    schema = schema_of(next(e for e in server.api.get("/api/v3/models").data if e["model_id"] == SINGLE))
    expect("image" in schema["properties"] and "images" not in schema["properties"], f"{list(schema['properties'])}")


@suite.case("one model's entry answers alone")
def _(server: Server) -> None:
    equal(server.api.get(f"/api/v3/models/{MULTI}").data["model_id"], MULTI, "model_id")
    reply = server.api.get("/api/v3/models/nobody/nothing")
    expect(reply.status in (400, 404), f"an unknown model: HTTP {reply.status}")


@suite.case("the public catalogue's four routes need no key")
def _(server: Server) -> None:
    root = "/center/default/api/v1/model_product"
    equal(server.anyone.get(f"{root}/type_statistics").data, [{"type": "image-to-image", "count": 3}], "type_statistics")
    found = server.anyone.get(f"{root}/search?page=1&page_size=100&types=image-to-image").data["items"]
    equal(sorted(item["model_uuid"] for item in found), sorted(MODELS), "search")
    equal(server.anyone.get(f"{root}/search?page=1&page_size=100&types=text-to-video").data["items"], [], "search for another type")
    detail = server.anyone.get(f"{root}/detail/{MULTI}").data
    equal((detail["model_uuid"], detail["type"]), (MULTI, "image-to-image"), "detail")
    expect(schema_of(detail)["properties"]["prompt"], "no schema in the detail")
    quote = server.anyone.post(f"{root}/calculate", {"model_uuid": MULTI, "inputs": {"num_images": 2}}).data
    expect(abs(quote["price"] - 0.06) < 1e-9, f"calculate says {quote}")


@suite.case("openapi.json is an OpenAPI 3.1 document that knows the contract's routes")
def _(server: Server) -> None:
    document = server.anyone.get("/openapi.json").ok().json()
    expect(document["openapi"].startswith("3.1"), f"openapi is {document['openapi']}")
    paths = document["paths"]
    for path in (f"/api/v3/{MULTI}", "/api/v3/predictions/{id}/result", "/api/v3/predictions", "/api/v3/balance", "/api/v3/models",
                 "/api/v3/media/uploads", "/api/v3/media/upload/binary", "/api/v3/webhook/secret"):  # fmt: skip
        expect(path in paths, f"{path} is missing; there are {list(paths)}")


@suite.case("llms.txt is text that names the models and how to poll")
def _(server: Server) -> None:
    reply = server.anyone.get("/llms.txt").ok()
    expect(reply.headers["Content-Type"].startswith("text/"), f"Content-Type {reply.headers['Content-Type']}")
    for word in (MULTI, "/result", "num_inference_steps"):
        expect(word in reply.body.decode(), f"'{word}' is missing")


@suite.case("healthz and readyz answer without a key")
def _(server: Server) -> None:
    equal(server.anyone.get("/healthz").status, 200, "healthz")
    equal(server.anyone.get("/readyz").status, 200, "readyz")


@suite.case("capabilities tells the limits")
def _(server: Server) -> None:
    text = server.anyone.get("/capabilities").ok().body.decode()
    for word in ("upload_bytes", "body_bytes", "sync_window_ms", "min_side_px", "max_side_px"):
        expect(word in text, f"'{word}' is missing in {text[:1500]}")


@suite.case("metrics are Prometheus text, for loopback, and count jobs and HTTP codes")
def _(server: Server) -> None:
    server.api.run(QUICK)
    reply = server.anyone.get("/metrics").ok()
    expect(reply.headers["Content-Type"].startswith("text/plain"), f"Content-Type {reply.headers['Content-Type']}")
    text = reply.body.decode()
    sample = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_]\w*="([^"\\\n]|\\.)*"(,[a-zA-Z_]\w*="([^"\\\n]|\\.)*")*\})? (-?[0-9.e+-]+|\+Inf|NaN)$')
    typed: set[str] = set()
    seen: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            expect(name not in typed, f"two TYPE lines for {name}")
            typed.add(name)
        elif line and not line.startswith("#"):
            expect(sample.match(line), f"the line {line!r}")
            key = line.rsplit(" ", 1)[0]
            expect(key not in seen, f"{key} stands twice")
            seen.add(key)
            base = re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0])
            expect(base in typed or re.split(r"[{ ]", line)[0] in typed, f"no TYPE for {line!r}")
    for word in ("completed", "bucket", "steps", 'code="200"', "webhook"):
        expect(word in text, f"'{word}' is missing")
    counts = {m.group(1): float(m.group(2)) for m in re.finditer(r'^(\w+_bucket\{.*le="[^"]*".*\}) (.*)$', text, re.M)}
    expect(counts, "no histogram")


@suite.case("metrics behind a proxy need an admin key")
def _(server: Server) -> None:
    reply = server.anyone.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    expect(reply.status in (200, 401, 403), f"HTTP {reply.status}")


@suite.case("preflights of browsers are answered, and answers may be read by them")
def _(server: Server) -> None:
    reply = server.anyone.request("OPTIONS", f"/api/v3/{MULTI}", headers={
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-client-name,x-client-version,x-client-os"})  # fmt: skip
    expect(reply.status in (200, 204), f"HTTP {reply.status}")
    allowed = (reply.headers["Access-Control-Allow-Headers"] or "").lower()
    for name in ("authorization", "content-type", "x-client-name", "x-client-version", "x-client-os"):
        expect(name in allowed or allowed == "*", f"Access-Control-Allow-Headers is {allowed!r}")
    for name in ("GET", "POST", "PUT", "OPTIONS"):
        expect(name in (reply.headers["Access-Control-Allow-Methods"] or ""), "Access-Control-Allow-Methods")
    answer = server.api.get("/api/v3/balance", headers={"Origin": "https://app.example"})
    expect(answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example"), "Access-Control-Allow-Origin")
    expect(answer.headers["Access-Control-Allow-Credentials"] is None, "credentials are allowed")
    refused = server.anyone.get("/api/v3/balance", headers={"Origin": "https://app.example"})
    expect(refused.headers["Access-Control-Allow-Origin"], "an error has no Access-Control-Allow-Origin")


@suite.case("every answer has a request id of its own")
def _(server: Server) -> None:
    ids = {server.anyone.get(path).headers["X-Request-Id"] for path in ("/healthz", "/api/v3/balance", "/nothing", "/openapi.json")}
    expect(len(ids) == 4 and None not in ids, f"request ids {ids}")


@suite.case("an unknown path is 404, a known one with another method 405 with Allow")
def _(server: Server) -> None:
    check_error(server.api.get("/api/v3/nothing/here"), server.api.get("/api/v3/nothing/here").status, "")
    check_error(server.anyone.get("/nothing"), 404, "")
    for method, path in (("GET", "/api/v3/media/uploads"), ("POST", "/api/v3/balance"), ("PUT", "/api/v3/models"), ("DELETE", "/healthz")):
        reply = server.api.request(method, path)
        check_error(reply, 405, "method")
        expect(reply.headers["Allow"], f"no Allow for {method} {path}")


@suite.case("headers of the official clients are accepted")
def _(server: Server) -> None:
    server.api.get("/api/v3/balance", headers={"X-Client-Name": "wavespeed-python", "X-Client-Version": "2.0.5", "X-Client-OS": "linux"}).data


suite.main()
