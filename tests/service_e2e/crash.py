"""Kills the server with SIGKILL at random moments under load, then audits everything that was accepted.

Used by test_crash.py (a short round) and by `./dev soak` (as a program: crash.py --kills 50).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from harness import pictures
from harness.client import MULTI, NOWHERE, ULTRA_FAST, Client
from harness.receiver import Receiver, verify
from harness.server import Server, Workplace
from harness.tap import equal, expect, until

OPTIONS = {"job-attempts": "100", "checkpoint-steps": "2", "concurrency": "4", "webhook-backoff": "1,1,1,1,1,1,1,1"}
# The kinds of work: a few milliseconds; some steps; several pictures; with a reference; one that fails.
KINDS: list[dict[str, Any]] = [
    {"size": "64*64", "num_inference_steps": 1},
    {"size": "256*256", "num_inference_steps": 12},
    {"size": "128*128", "num_inference_steps": 8, "num_images": 3},
    {"size": "128*192", "num_inference_steps": 6, "images": ["UPLOAD"]},
    {"size": "64*64", "num_inference_steps": 1, "images": ["NOTHING"]},
]
PRICE = {MULTI: 30000, ULTRA_FAST: 25000}  # micro-dollars


@dataclass
class Accepted:
    id: str
    kind: int
    seed: int
    model: str
    hook: str


@dataclass
class Load:
    server: Server
    receiver: Receiver
    seed: int
    accepted: list[Accepted] = field(default_factory=list)
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def params(self, kind: int, seed: int) -> dict[str, Any]:
        params = {"prompt": f"kind {kind}", "seed": seed, "output_format": "png", **KINDS[kind]}
        if "images" in params:
            params["images"] = [self.upload if params["images"] == ["UPLOAD"] else NOWHERE]
        return params

    def work(self, number: int) -> None:
        """One client: submits, and waits for its jobs when more than two are open."""
        chance = random.Random(self.seed * 1000 + number)
        api, open_jobs, count = self.server.api, [], 0
        while not self.stopped:
            count += 1
            kind, seed, hook = chance.randrange(len(KINDS)), number * 100000 + count, f"/hook-{number}-{count}"
            model = chance.choice((MULTI, ULTRA_FAST))
            try:
                reply = api.post(f"/api/v3/{model}?webhook={self.receiver.url(hook)}", self.params(kind, seed), timeout=10)
            except (OSError, ValueError, Exception) as error:  # the server is gone: whether the job exists is not known
                if not isinstance(error, OSError) and "HTTP" not in type(error).__name__ and "Incomplete" not in type(error).__name__:
                    self.refused.append(repr(error))
                with self.lock:
                    self.unanswered += 1
                time.sleep(0.03)
                continue
            if reply.status != 200:
                self.refused.append(f"{reply.status} {reply.body[:200]!r}")
                time.sleep(0.05)
                continue
            job = Accepted(reply.data["id"], kind, seed, model, hook)
            with self.lock:
                self.accepted.append(job)
            open_jobs.append(job.id)
            while len(open_jobs) > 2 and not self.stopped:
                open_jobs = [name for name in open_jobs if not ended(api, name)]
                time.sleep(0.02)

    upload: str = ""


def ended(api: Client, name: str) -> bool:
    try:
        return api.result(name)["status"] in ("completed", "failed", "cancelled", "timeout")
    except AssertionError:
        return True  # the audit will say what is wrong with it
    except Exception:
        return False


def kill_at_random(place: Workplace, kills: int, seed: int, clients: int = 3) -> dict[str, Any]:
    """The whole round: load, kills, drain, audit. What was seen, as numbers."""
    chance = random.Random(seed)
    with Receiver() as receiver, Server(place, f"crash-{seed}", OPTIONS) as server:
        load = Load(server, receiver, seed)
        load.upload = server.api.upload(pictures.png(96, 64))
        before = micro(server.api.balance())
        threads = [threading.Thread(target=load.work, args=(number,), daemon=True) for number in range(1, clients + 1)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            enough, latest = len(load.accepted) + chance.randrange(6), time.monotonic() + 4
            while len(load.accepted) < enough and time.monotonic() < latest:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3))
            server.kill()
            server.start()
        load.stopped = True
        for thread in threads:
            thread.join(30)
        equal(load.refused, [], "submits that were refused")
        counts = audit(load, before)
        counts["kills"] = kills
        compare(place, load, chance, counts)
        return counts


def micro(dollars: float) -> int:
    return round(dollars * 1_000_000)


def history(api: Client) -> list[Any]:
    items: list[Any] = []
    for page in range(1, 1000):
        found = api.post("/api/v3/predictions", {"page": page, "page_size": 100, "include_inputs": True}).data["items"]
        items += found
        if len(found) < 100:
            break
    return items


def billing(api: Client) -> list[Any]:
    rows: list[Any] = []
    for page in range(1, 1000):
        data = api.post("/api/v3/billings/search", {"page": page, "page_size": 100}).data
        rows += data["items"]
        if not data["has_more"]:
            break
    return rows


def audit(load: Load, before: int) -> dict[str, Any]:
    """No accepted job lost, none charged or completed twice, every webhook told."""
    api = load.server.api
    for job in load.accepted:
        api.wait(job.id, 120)
    until(lambda: all(item["status"] not in ("created", "processing") for item in history(api)), "every job has ended", 120)
    items = history(api)
    by_id = {item["id"]: item for item in items}
    equal(len(by_id), len(items), "an id stands twice in the history")
    for job in load.accepted:
        expect(job.id in by_id, f"the accepted job {job.id} is lost")
        wanted = "failed" if job.kind == 4 else "completed"
        equal(by_id[job.id]["status"], wanted, f"status of {job.id}, kind {job.kind} ({by_id[job.id]['error']})")
    unknown = set(by_id) - {job.id for job in load.accepted}
    expect(len(unknown) <= load.unanswered, f"{len(unknown)} jobs that nobody asked for, {load.unanswered} unanswered submits")
    completed = [item for item in items if item["status"] == "completed"]
    spent = sum(PRICE[item["model"]] * len(item["outputs"]) for item in completed)
    equal(before - micro(api.balance()), spent, "money spent, in micro-dollars")
    rows = billing(api)
    for kind, ended in (("capture", completed), ("release", [item for item in items if item["status"] != "completed"])):
        found = Counter(row["prediction"]["uuid"] for row in rows if row["billing_type"] == kind)
        equal(found, Counter(item["id"] for item in ended), f"rows of kind {kind} for each prediction")
    equal(sum(micro(row["amount"]) for row in rows if row.get("prediction")), -spent, "sum of the ledger, in micro-dollars")
    for job in load.accepted:
        hooks = load.receiver.wait_hooks(job.hook, 1, 60)
        equal({hook.json()["id"] for hook in hooks}, {job.id}, f"ids told at {job.hook}")
        equal(len({hook.headers["webhook-id"] for hook in hooks}), 1, f"webhook-ids at {job.hook}")
        equal(len({hook.body for hook in hooks}), 1, f"bodies told at {job.hook}")
    secret = api.get("/api/v3/webhook/secret").data["secret"]
    for hook in load.receiver.hooks[:50]:
        verify(hook, secret)
    return {
        "accepted": len(load.accepted),
        "unanswered": load.unanswered,
        "of them stored": len(unknown),
        "completed": len(completed),
        "webhooks": len(load.receiver.hooks),
    }


def digests(api: Client, item: Any) -> list[str]:
    return [hashlib.sha256(data).hexdigest() for data in api.outputs(item)]


def compare(place: Workplace, load: Load, chance: random.Random, counts: dict[str, Any]) -> None:
    """A sample of the outputs against an undisturbed server; every output is there."""
    api = load.server.api
    jobs = [job for job in load.accepted if job.kind != 4]
    for job in jobs:
        digests(api, api.result(job.id))
    sample = chance.sample(jobs, min(len(jobs), 60))
    with Server(place, f"undisturbed-{load.seed}", {"concurrency": "4"}) as calm:
        upload = calm.api.upload(pictures.png(96, 64))
        for job in sample:
            params = load.params(job.kind, job.seed)
            if "images" in params:
                params["images"] = [upload]
            wanted = digests(calm.api, calm.api.run(params, job.model, 60))
            equal(digests(api, api.result(job.id)), wanted, f"outputs of {job.id}, kind {job.kind}, seed {job.seed}")
    counts["compared"] = len(sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with Workplace() as place:
        print(kill_at_random(place, options.kills, options.seed))


if __name__ == "__main__":
    sys.exit(main())
