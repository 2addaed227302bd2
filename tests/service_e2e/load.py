"""How the service bears load, with a model of a few milliseconds. Needs `hey`.

    load.py bench [--seconds 10]     one table: submits and polls at a rate and as fast as they go, many waiting clients
    load.py soak [--minutes 20]      mixed load; a line each minute; fails when resident memory does not stay flat
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from harness.client import MULTI, QUICK, Client
from harness.server import Server, Workplace, environment
from harness.tap import equal, expect

OPTIONS = {
    "initial-balance": "900000", "max-queued": "1000000", "sync-window": "80s", "max-connections": "4096",
    "max-connections-per-address": "4096", "concurrency": "64", "threads": "1",
}  # fmt: skip
LONG: dict[str, Any] = {"prompt": "watched", "size": "256*256", "num_inference_steps": 50, "seed": 1}


# ---- Rates, by hey ----


@dataclass
class Rate:
    name: str
    asked: str
    per_second: float
    p50_ms: float
    p99_ms: float
    bad: int

    def row(self) -> str:
        return f"{self.name:<34} {self.asked:>10} {self.per_second:>10.0f} {self.p50_ms:>9.2f} {self.p99_ms:>9.2f} {self.bad:>6}"


HEADER = f"{'what':<34} {'asked /s':>10} {'got /s':>10} {'p50 ms':>9} {'p99 ms':>9} {'bad':>6}"


def hey(name: str, api: Client, path: str, seconds: int, clients: int, rate: int = 0, body: str | None = None) -> Rate:
    """`rate` in all; 0: as fast as it goes."""
    words = ["hey", "-z", f"{seconds}s", "-c", str(clients), "-H", f"Authorization: Bearer {api.key}"]
    if rate:
        words += ["-q", str(rate / clients)]
    if body is not None:
        words += ["-m", "POST", "-T", "application/json", "-d", body]
    done = subprocess.run([*words, api.base + path], capture_output=True, text=True, timeout=seconds + 60, env=environment())
    said = done.stdout
    expect(done.returncode == 0, f"hey ended with {done.returncode}: {done.stderr}")

    def number(pattern: str) -> float:
        found = re.search(pattern, said)
        return float(found.group(1)) if found else 0.0

    answers = {int(code): int(count) for code, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", said)}
    bad = sum(count for code, count in answers.items() if code != 200)
    bad += sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]\s+(?!\d+ responses).*$", said, re.M))
    per_second = number(r"Requests/sec:\s+([\d.]+)")
    return Rate(name, str(rate) if rate else "all", per_second, number(r"50% in ([\d.]+) secs") * 1000,
                number(r"99% in ([\d.]+) secs") * 1000, bad)  # fmt: skip


# ---- Many waiting clients ----


@dataclass
class Crowd:
    """What many streams and held calls at once saw."""

    completed: int = 0
    events: int = 0
    synced: int = 0
    polls_ms: list[float] = field(default_factory=list)
    threads: int = 0
    faults: list[str] = field(default_factory=list)


async def talk(api: Client, head: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(api.host, api.port)
    text = f"{head} HTTP/1.1\r\nHost: {api.host}\r\nAuthorization: Bearer {api.key}\r\nConnection: close\r\n"
    if body:
        text += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(text.encode() + b"\r\n" + body)
    await writer.drain()
    return reader, writer


async def follow(api: Client, name: str, crowd: Crowd, open_now: asyncio.Semaphore) -> None:
    reader, writer = await talk(api, f"GET /api/v3/predictions/{name}/stream")
    status = await reader.readline()
    if b" 200 " not in status:
        crowd.faults.append(f"a stream was answered {status!r}")
    open_now.release()
    ended = False
    while line := await reader.readline():
        crowd.events += line.startswith(b"event:")
        ended = ended or line.startswith(b"event: completed")
    crowd.completed += ended
    writer.close()


async def held(api: Client, seed: int, crowd: Crowd) -> None:
    body = json.dumps({**QUICK, "seed": seed, "enable_sync_mode": True}).encode()
    reader, writer = await talk(api, f"POST /api/v3/{MULTI}", body)
    said = await reader.read()
    try:
        data = json.loads(said.split(b"\r\n\r\n", 1)[1])["data"]
        crowd.synced += data["status"] == "completed"
    except (IndexError, ValueError, KeyError):
        crowd.faults.append(f"a sync call was answered {said[:200]!r}")
    writer.close()


async def poll(api: Client, name: str, crowd: Crowd, server: Server, done: asyncio.Event) -> None:
    while not done.is_set():
        start = time.monotonic()
        reader, writer = await talk(api, f"GET /api/v3/predictions/{name}/result")
        said = await reader.read()
        writer.close()
        crowd.polls_ms.append((time.monotonic() - start) * 1000)
        if b" 200 " not in said[:20]:
            crowd.faults.append(f"a poll was answered {said[:100]!r}")
        crowd.threads = max(crowd.threads, server.threads())
        await asyncio.sleep(0.05)


async def gather_crowd(server: Server, streams: int, syncs: int) -> Crowd:
    api, crowd = server.api, Crowd()
    name = api.submit(LONG)["id"]
    open_now, done = asyncio.Semaphore(0), asyncio.Event()
    followers = [asyncio.create_task(follow(api, name, crowd, open_now)) for _ in range(streams)]
    for _ in range(streams):
        await open_now.acquire()
    polling = asyncio.create_task(poll(api, name, crowd, server, done))
    callers = [asyncio.create_task(held(api, seed, crowd)) for seed in range(syncs)]
    await asyncio.wait_for(asyncio.gather(*followers, *callers), 120)
    done.set()
    await polling
    return crowd


def crowd_of(server: Server, streams: int = 500, syncs: int = 200) -> Crowd:
    """All streams follow one job to its end, all sync calls are answered completed, while polls stay quick."""
    crowd = asyncio.run(gather_crowd(server, streams, syncs))
    equal(crowd.faults[:3], [], "faults")
    equal((crowd.completed, crowd.synced), (streams, syncs), "streams and sync calls that ended well")
    return crowd


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


# ---- The two programs ----


def bench(seconds: int) -> None:
    body = json.dumps(QUICK)
    with Workplace() as place, Server(place, "load", OPTIONS) as server:
        api = server.api
        name = api.run(QUICK)["id"]
        result = f"/api/v3/predictions/{name}/result"
        print(HEADER)
        for row in (
            ("submits at 200/s", f"/api/v3/{MULTI}", 20, 200, body),
            ("polls at 2000/s", result, 20, 2000, None),
            ("submits, 16 clients", f"/api/v3/{MULTI}", 16, 0, body),
            ("submits, 64 clients", f"/api/v3/{MULTI}", 64, 0, body),
            ("polls, 16 clients", result, 16, 0, None),
            ("healthz, 16 clients", "/healthz", 16, 0, None),
        ):
            what, path, clients, rate, data = row
            print(hey(what, api, path, seconds, clients, rate, data).row(), flush=True)
        print(f"resident memory {server.resident_bytes() >> 20} MiB, {server.threads()} threads")
    with Workplace() as place, Server(place, "crowd", OPTIONS) as server:
        before = server.resident_bytes()
        crowd = crowd_of(server)
        print(
            f"500 event streams and 200 sync calls at once: {crowd.events} events, polls p50 {statistics.median(crowd.polls_ms):.1f} ms, "
            f"p99 {quantile(crowd.polls_ms, 0.99):.1f} ms, {crowd.threads} threads, memory +{(server.resident_bytes() - before) >> 20} MiB"
        )


def soak(minutes: float) -> None:
    """After a first tenth, memory may grow by no more than 10 % or 16 MiB."""
    body = json.dumps(QUICK)
    with Workplace() as place, Server(place, "soak", OPTIONS) as server:
        api = server.api
        name = api.run(QUICK)["id"]
        picture = api.upload(api.outputs(api.run({**QUICK, "output_format": "png"}))[0])
        end, samples = time.monotonic() + minutes * 60, []
        print(f"{'minute':>6} {'resident MiB':>13} {'descriptors':>12} {'submits /s':>11} {'p99 ms':>8} {'polls /s':>9} {'p99 ms':>8}")
        while time.monotonic() < end:
            submits = hey("submits", api, f"/api/v3/{MULTI}", 20, 4, 40, body)
            polls = hey("polls", api, f"/api/v3/predictions/{name}/result", 20, 8, 400)
            for seed in range(20):
                api.run({**QUICK, "seed": seed, "images": [picture]})
            crowd_of(server, 100, 40)
            expect(submits.bad == 0 and polls.bad == 0, f"{submits.bad} submits and {polls.bad} polls were not answered 200")
            samples.append((time.monotonic(), server.resident_bytes()))
            passed = minutes - (end - time.monotonic()) / 60
            print(f"{passed:>6.1f} {samples[-1][1] / 2**20:>13.1f} {server.descriptors():>12} {submits.per_second:>11.0f} "
                  f"{submits.p99_ms:>8.2f} {polls.per_second:>9.0f} {polls.p99_ms:>8.2f}", flush=True)  # fmt: skip
        warm = samples[len(samples) // 10][1]
        growth = samples[-1][1] - warm
        expect(growth < max(warm * 0.1, 16 << 20), f"resident memory grew by {growth >> 20} MiB from {warm >> 20} MiB")
        print(f"resident memory: {warm >> 20} MiB after the first tenth, {samples[-1][1] >> 20} MiB at the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bench", "soak"])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    if shutil.which("hey") is None:
        sys.exit("hey is missing: apt-get install hey")
    bench(options.seconds) if options.what == "bench" else soak(options.minutes)


if __name__ == "__main__":
    main()
