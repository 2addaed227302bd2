"""kill -9 at every state and at random moments: nothing accepted is lost, charged twice, completed twice or changed."""

from __future__ import annotations

import os
import random
import threading
from typing import Any

import crash
from harness.client import MULTI, QUICK
from harness.receiver import Receiver
from harness.server import Server, Workplace
from harness.tap import Suite, equal, expect, remark, until

suite = Suite("crashes", Workplace, 120)
STEPS: dict[str, Any] = {"prompt": "steps", "size": "384*384", "num_inference_steps": 30, "seed": 11, "output_format": "png"}
OPTIONS = {"checkpoint-steps": "3", "job-attempts": "50"}


def undisturbed(place: Workplace, name: str, params: dict[str, Any]) -> list[bytes]:
    with Server(place, f"calm-{name}") as calm:
        return calm.api.outputs(calm.api.run(params, seconds=60))


def spent(server: Server, before: float) -> float:
    return round(before - server.api.balance(), 6)


@suite.case("killed in the middle of a step, again and again, a job ends once with the same bytes")
def _(place: Workplace) -> None:
    wanted = undisturbed(place, "mid-step", STEPS)
    with Server(place, "mid-step", OPTIONS) as server:
        before = server.api.balance()
        name = server.api.submit(STEPS)["id"]
        reached = 0
        for _ in range(4):
            def further() -> int:
                data = server.api.result(name)
                return data.get("step", 0) if data["status"] == "processing" and data.get("step", 0) > reached + 4 else 0

            reached = until(further, f"a step beyond {reached + 4}", 40)
            server.kill()
            server.start()
        done = server.api.wait(name, 60, "completed")
        equal(server.api.outputs(done), wanted, "bytes")
        equal(spent(server, before), 0.03, "charged")


@suite.case("a resumed job goes on from its checkpoint, not from its start")
def _(place: Workplace) -> None:
    with Server(place, "resume", OPTIONS) as server:
        name = server.api.submit({**STEPS, "num_inference_steps": 50})["id"]
        until(lambda: server.api.result(name).get("step", 0) >= 20, "step 20", 40)
        server.kill()
        server.start()
        seen = until(lambda: server.api.result(name).get("step", 0), "it runs again", 20)
        expect(seen >= 15, f"it went on at step {seen}")
        server.api.wait(name, 60, "completed")


@suite.case("killed between the pictures of a job, it ends with the same bytes for all of them")
def _(place: Workplace) -> None:
    params = {**STEPS, "size": "192*192", "num_inference_steps": 10, "num_images": 4}
    wanted = undisturbed(place, "pictures", params)
    with Server(place, "pictures", OPTIONS) as server:
        name = server.api.submit(params)["id"]
        for step in (12, 22, 32):
            until(lambda: server.api.result(name).get("step", 0) >= step or server.api.result(name)["status"] == "completed", f"step {step}", 40)
            server.kill()
            server.start()
        equal(server.api.outputs(server.api.wait(name, 60, "completed")), wanted, "bytes")


@suite.case("killed with jobs in the queue, all of them run in their order")
def _(place: Workplace) -> None:
    with Server(place, "queued", OPTIONS) as server:
        before = server.api.balance()
        ids = [server.api.submit({**STEPS, "num_inference_steps": 8, "size": "192*192", "seed": i})["id"] for i in range(6)]
        server.kill()
        server.start()
        for name in ids:
            server.api.wait(name, 60, "completed")
        equal(spent(server, before), 0.18, "charged")
        items = crash.history(server.api)
        equal([item["id"] for item in items], ids[::-1], "history")


@suite.case("killed during submits, every answered one is there and every stored one ends")
def _(place: Workplace) -> None:
    with Server(place, "submits", OPTIONS) as server:
        before = crash.micro(server.api.balance())
        accepted: list[str] = []
        chance = random.Random(5)

        def flood(number: int) -> None:
            for count in range(200):
                try:
                    accepted.append(server.api.submit({**QUICK, "seed": number * 1000 + count}, timeout=10)["id"])
                except Exception:
                    return

        for _ in range(4):
            threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            start = len(accepted)
            wanted = start + chance.randrange(1, 60)
            until(lambda: len(accepted) >= wanted, "some submits are answered")
            server.kill()
            for thread in threads:
                thread.join(20)
            server.start()
        for name in accepted:
            server.api.wait(name, 60, "completed")
        until(lambda: all(i["status"] == "completed" for i in crash.history(server.api)), "every stored job completes", 60)
        items = crash.history(server.api)
        equal(before - crash.micro(server.api.balance()), 30000 * len(items), "charged, in micro-dollars")
        remark(f"{len(accepted)} submits were answered, {len(items)} jobs are stored")


@suite.case("killed while results are being stored, each job completes once and its files are whole")
def _(place: Workplace) -> None:
    params = {**QUICK, "num_images": 4, "size": "256*256", "output_format": "png"}
    wanted = undisturbed(place, "storing", params)
    with Server(place, "storing", OPTIONS) as server:
        before = server.api.balance()
        ids = []
        for _ in range(5):
            name = server.api.submit(params)["id"]
            ids.append(name)
            until(lambda: server.api.result(name).get("step", 0) >= 4 or server.api.result(name)["status"] == "completed", "its last step", 30)
            server.kill()
            server.start()
        for name in ids:
            equal(server.api.outputs(server.api.wait(name, 60, "completed")), wanted, "bytes")
        equal(spent(server, before), 0.6, "charged")


@suite.case("killed during a webhook, it is told again after the restart, under the same webhook-id")
def _(place: Workplace) -> None:
    with Receiver() as receiver, Server(place, "webhook", OPTIONS) as server:
        name = server.api.submit(QUICK, query=f"?webhook={receiver.url('/held')}")["id"]
        receiver.wait_hooks("/held", 1)
        server.kill()
        receiver.hold.set()
        server.start()
        hooks = receiver.wait_hooks("/held", 2)
        equal({hook.json()["id"] for hook in hooks}, {name}, "ids")
        equal(len({hook.headers["webhook-id"] for hook in hooks}), 1, "webhook-ids")


@suite.case("a job that was given up on by every process fails in the end and costs nothing")
def _(place: Workplace) -> None:
    with Server(place, "poison", {"job-attempts": "2"}) as server:
        before = server.api.balance()
        name = server.api.submit({**STEPS, "num_inference_steps": 50, "size": "512*512"})["id"]
        for _ in range(2):
            until(lambda: server.api.result(name)["status"] == "processing" and server.api.result(name).get("step", 0) > 0, "it runs", 30)
            server.kill()
            server.start()
        done = server.api.wait(name, 30, "failed")
        expect(done["code"] in (1403, 1405, 5000), f"code is {done['code']}")
        equal(spent(server, before), 0, "charged")
        server.api.run(QUICK)


@suite.case("a cancel that was answered stays, also when the server is killed right after it")
def _(place: Workplace) -> None:
    with Server(place, "cancel", OPTIONS) as server:
        before = server.api.balance()
        running = server.api.submit({**STEPS, "num_inference_steps": 50, "size": "512*512"})["id"]
        until(lambda: server.api.result(running).get("step", 0) > 0, "it runs")
        server.api.post(f"/api/v3/predictions/{running}/cancel").data
        server.kill()
        server.start()
        server.api.wait(running, 30, "cancelled")
        equal(spent(server, before), 0, "charged")


@suite.case("an Idempotency-Key holds over a kill")
def _(place: Workplace) -> None:
    with Server(place, "idempotency", OPTIONS) as server:
        headers = {"Idempotency-Key": "over the kill"}
        first = server.api.submit(QUICK, MULTI, headers=headers)["id"]
        server.kill()
        server.start()
        equal(server.api.submit(QUICK, MULTI, headers=headers)["id"], first, "id")


KILLS = int(os.environ.get("KILLS", "15"))


@suite.case(f"killed {KILLS} times at random moments under load, nothing is lost, doubled or changed", 300)
def _(place: Workplace) -> None:
    seed = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(3), "big")
    remark(f"SEED={seed}")
    remark(str(crash.kill_at_random(place, KILLS, seed)))


suite.main()
