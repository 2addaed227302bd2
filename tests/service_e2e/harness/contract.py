"""The types of the contract, checked strictly: what clients decode must be there and be of its type."""

from __future__ import annotations

import re
from typing import Any

from .client import Reply
from .tap import equal, expect

ID = re.compile(r"[a-f0-9-]{4,128}")
CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
STATUSES = ("created", "processing", "completed", "failed", "cancelled", "timeout", "deleted")


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def check_prediction(data: Any, base: str) -> None:
    """Section 2.4 and 4.2: what strict clients decode, on every answer that holds a prediction."""
    expect(isinstance(data, dict), f"a prediction is {data!r:.300}")
    expect(isinstance(data.get("id"), str) and ID.fullmatch(data["id"]), f"id is {data.get('id')!r}")
    expect(isinstance(data.get("model"), str), f"model is {data.get('model')!r}")
    expect(data.get("status") in STATUSES, f"status is {data.get('status')!r}")
    outputs = data.get("outputs")
    expect(isinstance(outputs, list) and all(isinstance(item, str) for item in outputs), f"outputs is {outputs!r:.300}")
    urls = data.get("urls")
    expect(isinstance(urls, dict) and all(isinstance(item, str) for item in urls.values()), f"urls is {urls!r}")
    equal(urls.get("get"), f"{base}/api/v3/predictions/{data['id']}/result", "urls.get")
    nsfw = data.get("has_nsfw_contents")
    expect(isinstance(nsfw, list) and all(type(item) is bool for item in nsfw), f"has_nsfw_contents is {nsfw!r}")
    created = data.get("created_at")
    expect(isinstance(created, str) and CREATED.fullmatch(created), f"created_at is {created!r}")
    expect(isinstance(data.get("error"), str), f"error is {data.get('error')!r}")
    expect(type(data.get("code")) is int, f"code is {data.get('code')!r}")
    expect(type(data.get("executionTime")) is int, f"executionTime is {data.get('executionTime')!r}")
    timings = data.get("timings")
    expect(isinstance(timings, dict) and all(is_number(item) for item in timings.values()), f"timings is {timings!r}")
    expect(is_number(timings.get("inference")), f"timings.inference is {timings.get('inference')!r}")
    if data["status"] == "completed":
        expect(outputs, "a completed prediction has no outputs")
        equal(len(nsfw), len(outputs), "number of has_nsfw_contents")
        equal((data["error"], data["code"]), ("", 0), "error and code of a completed prediction")
    else:
        equal(outputs, [], f"outputs of a prediction that is {data['status']}")
    if data["status"] == "failed":
        expect(data["error"] and data["code"] != 0, "a failed prediction has no error or no code")


def check_error(reply: Reply, status: int, sentence: str, code: int | None = None) -> Any:
    """Section 1.3: the status, {"code", "message", "error"}, and a sentence that matches (any case)."""
    expect(
        reply.status == status,
        f"{reply.asked}: HTTP {reply.status} {reply.body[:300]!r}, expected {status} with a sentence like '{sentence}'",
    )
    kind = reply.headers.get("Content-Type", "")
    expect(kind.startswith("application/json"), f"Content-Type of an error is {kind!r}")
    body = reply.json()
    expect(type(body.get("code")) is int, f"code is {body.get('code')!r}")
    equal(body["code"], code or status, "code in the body")
    message = body.get("message")
    expect(isinstance(message, str) and message, f"message is {message!r}")
    expect(re.search(sentence, message, re.IGNORECASE), f"the sentence {message!r} does not match '{sentence}'")
    if "error" in body:
        expect(isinstance(body["error"], str), f"error is {body['error']!r}")
    return body
