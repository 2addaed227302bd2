"""Faults around the server: full, read-only and locked storage, clocks that jump, stops in the middle, wrong starts."""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from typing import Any, Iterator

from harness import pictures
from harness.client import MULTI, QUICK, SLOW
from harness.contract import check_error
from harness.server import PROGRAM, Server, Workplace, environment, free_port
from harness.tap import Skip, Suite, equal, expect, until

suite = Suite("faults", Workplace, 90)
STEPS: dict[str, Any] = {"prompt": "steps", "size": "384*384", "num_inference_steps": 30, "seed": 11, "output_format": "png"}
DAY = 86400


@contextlib.contextmanager
def small_disk(place: Workplace, name: str, megabytes: int) -> Iterator[pathlib.Path]:
    """A file system of its own; needs the right to mount."""
    folder = place.path / name
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def fill(folder: pathlib.Path) -> pathlib.Path:
    """Takes all space that is left."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


def refuses_submits(server: Server) -> None:
    def refusal() -> bool:
        reply = server.api.post(f"/api/v3/{MULTI}", {**QUICK, "prompt": "p" * 20000})
        if reply.status == 200:
            return False
        expect(reply.status in (500, 503, 507), f"HTTP {reply.status} {reply.body[:200]!r}")
        check_error(reply, reply.status, "disk|space|full|stor|write|database|later")
        return True

    until(refusal, "a submit is refused", 30)


@suite.case("a full disk refuses submits with a sentence, loses nothing, and works again when there is room")
def _(place: Workplace) -> None:
    with small_disk(place, "full", 24) as disk, Server(place, "full-disk", data=disk / "data") as server:
        kept = server.api.run({**QUICK, "output_format": "png"})
        wanted = server.api.outputs(kept)
        ballast = fill(disk)
        refuses_submits(server)
        reply = server.api.post("/api/v3/media/upload/binary", *crowded())
        expect(reply.status in (500, 503, 507), f"an upload: HTTP {reply.status} {reply.body[:200]!r}")
        equal(server.api.outputs(server.api.result(kept["id"])), wanted, "outputs of before")
        equal(server.anyone.get("/healthz").status, 200, "healthz")
        reply = server.anyone.get("/readyz")
        equal(reply.status, 503, "readyz")
        expect(str(disk) in reply.json()["problem"], f"the operator is told: {reply.body[:200]!r}")
        reply = server.anyone.get("/readyz", headers={"Host": "edits.example"})
        equal((reply.status, reply.json()["problem"]), (503, "the store does not work"), "readyz for others")
        ballast.unlink()
        until(lambda: server.anyone.get("/readyz").status == 200, "ready again", 30)
        server.api.run(QUICK)
        server.restart()
        equal(server.api.outputs(server.api.result(kept["id"])), wanted, "outputs of before, after a restart")


def crowded() -> tuple[bytes, dict[str, str]]:
    from harness.client import multipart

    return multipart(pictures.png() + bytes(3_000_000), "a.png")


@suite.case("a job that ends on a full disk is not lost: it completes or fails when there is room")
def _(place: Workplace) -> None:
    with small_disk(place, "ending", 24) as disk, Server(place, "ending-disk", {"job-attempts": "50"}, data=disk / "data") as server:
        before = server.api.balance()
        name = server.api.submit(STEPS)["id"]
        until(lambda: server.api.result(name).get("step", 0) > 3, "it runs")
        ballast = fill(disk)
        time.sleep(3)
        equal(server.anyone.get("/healthz").status, 200, "healthz")
        ballast.unlink()
        done = server.api.wait(name, 60, ("completed", "failed"))
        price = 0.03 if done["status"] == "completed" else 0
        expect(abs(before - server.api.balance() - price) < 1e-9, f"{done['status']}, charged {before - server.api.balance()}")
        server.api.run(QUICK)


@suite.case("files that may not grow are an error with a sentence, never a crash")
def _(place: Workplace) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    server = Server(place, "limited")
    server.start(preexec_fn=limit)
    with server:
        reply = None
        for _ in range(60):
            reply = server.api.post("/api/v3/media/upload/binary", *crowded())
            if reply.status != 200:
                break
        assert reply is not None
        expect(reply.status in (500, 503, 507), f"an upload: HTTP {reply.status}")
        refuses_submits(server)
        equal(server.anyone.get("/healthz").status, 200, "healthz")


@suite.case("a data folder that turns read-only refuses submits; results are still read")
def _(place: Workplace) -> None:
    with small_disk(place, "ro", 24) as disk, Server(place, "ro-disk", data=disk / "data") as server:
        kept = server.api.run(QUICK)
        done = subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True, text=True)
        if done.returncode != 0:
            done = subprocess.run(["mount", "-i", "-o", "remount,ro", "none", str(disk)], capture_output=True, text=True)
        if done.returncode != 0:  # files that are open for writing forbid it
            raise Skip("a file system in use cannot be made read-only here")
        refuses_submits(server)
        server.api.outputs(server.api.result(kept["id"]))
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        server.api.run(QUICK)


@suite.case("an output that cannot be read now is a passing fault, one that is gone is not found")
def _(place: Workplace) -> None:
    with Server(place, "unreadable") as server:
        path = server.api.run(QUICK)["outputs"][0].removeprefix(server.base)
        reply = server.anyone.get(path).ok()
        blob = server.data / "blobs" / reply.headers["ETag"].strip('"')[:2] / reply.headers["ETag"].strip('"')
        aside = blob.with_name("aside")
        blob.rename(aside)
        check_error(server.anyone.get(path), 404, "no such file")
        blob.symlink_to(blob)  # a loop: to open it fails
        reply = server.anyone.get(path)
        check_error(reply, 503, "storage")
        expect(reply.headers.get("Retry-After"), "Retry-After is missing")
        aside.replace(blob)
        server.anyone.get(path).ok()


def ends(place: Workplace, name: str, status: tuple[int, ...], sentence: str, **options: Any) -> None:
    """A start that must fail at once, with one sentence."""
    server = Server(place, name, options.pop("options", None), **options)
    done = subprocess.run(server.command(), capture_output=True, text=True, timeout=30, env=environment(), stdin=subprocess.DEVNULL)
    expect(done.returncode in status, f"the exit status is {done.returncode}, expected {status}: {done.stderr}")
    expect(any(word in done.stderr.lower() for word in sentence.split("|")), f"the sentence is {done.stderr!r}")


@suite.case("a read-only data folder, and one that is a file, end the start with a sentence")
def _(place: Workplace) -> None:
    file = place.path / "a-file"
    file.write_text("x")
    ends(place, "file", (1, 3, 6), "folder|directory", data=file)
    ends(place, "proc", (1, 3, 6), "cannot|read-only|permission|no such", data=pathlib.Path("/proc/kontext-data"))
    with small_disk(place, "never", 4) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ends(place, "read-only", (1, 3, 6), "read-only|cannot|write", data=disk / "data")


@suite.case("a second server on one data folder is refused, and the first goes on")
def _(place: Workplace) -> None:
    with Server(place, "first") as first:
        ends(place, "second", (1, 2, 3, 6), "another|in use|already|lock", data=first.data)
        first.api.run(QUICK)


@suite.case("a port in use, a bad address, an unknown option and a bad value end the start with a sentence")
def _(place: Workplace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ends(place, "port", (1, 2, 3, 6), "in use|listen", options={"listen": f"127.0.0.1:{taken.getsockname()[1]}"})
    ends(place, "address", (2, 3), "listen|nowhere", options={"listen": "nowhere"})
    ends(place, "option", (2,), "unknown option", options={"no-such-option": "1"})
    ends(place, "value", (2, 3), "max-queued", options={"max-queued": "many"})
    ends(place, "window", (2, 3), "sync-window", options={"sync-window": "2h"})
    ends(place, "network", (2, 3), "fetch-allow|network", options={"fetch-allow": "300.0.0.0/8"})


@suite.case("a data folder whose database is damaged ends the start with a sentence")
def _(place: Workplace) -> None:
    with Server(place, "damaged") as server:
        server.api.run(QUICK)
    for file in database_files(server):
        file.write_bytes(b"this is no database" * 1000)
    ends(place, "damaged", (1, 3, 4, 6), "database|damaged|not a")


def database_files(server: Server) -> list[pathlib.Path]:
    found = [p for p in server.data.iterdir() if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]
    expect(found, f"no database in {list(server.data.iterdir())}")
    return found


@suite.case("a database that another process locks for two seconds delays submits or refuses them, and no longer")
def _(place: Workplace) -> None:
    with Server(place, "locked") as server:
        (file,) = database_files(server)
        other = sqlite3.connect(file, timeout=10, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(2, lambda: other.execute("ROLLBACK"))
        release.start()
        start = time.monotonic()
        reply = server.api.post(f"/api/v3/{MULTI}", QUICK, timeout=60)
        expect(reply.status in (200, 503), f"HTTP {reply.status} {reply.body[:200]!r}")
        expect(time.monotonic() - start < 20, "it took long")
        server.api.get("/api/v3/predictions/" + "0" * 32)
        release.join()
        until(lambda: server.api.post(f"/api/v3/{MULTI}", QUICK).status == 200, "submits work again")
        other.close()
        server.api.run(QUICK)


@suite.case("a client that polls is answered while the database is locked for writing")
def _(place: Workplace) -> None:
    with Server(place, "polled") as server:
        name = server.api.run(QUICK)["id"]
        (file,) = database_files(server)
        other = sqlite3.connect(file, timeout=10, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        for _ in range(20):
            equal(server.api.result(name)["status"], "completed", "status")
        expect(time.monotonic() - start < 2, "polls wait for the lock")
        other.execute("ROLLBACK")
        other.close()


# ---- Clocks ----


@suite.case("a clock that jumps a year ahead or a day back in the middle of a job leaves the job alone")
def _(place: Workplace) -> None:
    with Server(place, "jumps", {"retention": "1000d"}).with_clock() as server:
        for jump in (365 * DAY, -DAY, 0):
            name = server.api.submit(STEPS)["id"]
            until(lambda: server.api.result(name).get("step", 0) > 2, "it runs")
            server.move_clock(jump)
            done = server.api.wait(name, 40, "completed")
            expect(0 <= done["executionTime"] < 60000, f"executionTime is {done['executionTime']} after a jump of {jump} s")
            sync = server.api.submit({**QUICK, "enable_sync_mode": True})
            equal(sync["status"], "completed", "status of a sync call")


@suite.case("a sync window and a wait are measured by a clock that does not jump")
def _(place: Workplace) -> None:
    with Server(place, "window").with_clock() as server:
        threading.Timer(1.0, lambda: server.move_clock(-7200)).start()
        start = time.monotonic()
        data = server.api.submit({**SLOW, "enable_sync_mode": True})
        took = time.monotonic() - start
        equal(data["code"], 5004, "code")
        expect(2.5 < took < 10, f"the window of 3 s took {took:.1f} s")
        server.api.post(f"/api/v3/predictions/{data['id']}/cancel").data


@suite.case("after eight days predictions, outputs and uploads are gone, with their files; the billing stays")
def _(place: Workplace) -> None:
    with Server(place, "retention").with_clock() as server:
        upload = server.api.upload(pictures.png())
        done = server.api.run({**QUICK, "images": [upload]})
        server.move_clock(6 * DAY)
        server.api.download(upload)
        equal(server.api.result(done["id"])["status"], "completed", "after six days")
        server.move_clock(8 * DAY)
        until(lambda: server.api.get(f"/api/v3/predictions/{done['id']}/result").status == 404, "the prediction is gone", 40)
        for url in [upload, *done["outputs"]]:
            until(lambda: server.anyone.get(url).status == 404, f"{url} is gone", 40)
        rows = server.api.post("/api/v3/billings/search", {"page": 1, "page_size": 10}).data["items"]
        expect(any(row["price"] for row in rows), "the billing is gone")

        blobs = [path for path in (server.data / "blobs").rglob("*") if path.is_file()]
        expect(blobs, "there never were blobs")
        for path in blobs:  # an age by the file's own time, so that one just written is never taken for a leftover
            os.utime(path, (time.time() - 2 * DAY,) * 2)
        server.move_clock(8 * DAY + 3600)
        until(lambda: not any(path.exists() for path in blobs), "the files are gone", 40)


@suite.case("a job over its deadline ends as timeout and costs nothing")
def _(place: Workplace) -> None:
    with Server(place, "deadline", {"job-deadline": "2s"}) as server:
        before = server.api.balance()
        done = server.api.wait(server.api.submit({**SLOW, "size": "768*768"})["id"], 60)
        equal(done["status"], "timeout", "status")
        expect(done["error"], "no reason")
        equal(server.api.balance(), before, "balance")
        server.api.run(QUICK)


@suite.case("more than max-queued waiting jobs are refused with 503")
def _(place: Workplace) -> None:
    with Server(place, "queue", {"max-queued": "3"}) as server:
        replies = [server.api.post(f"/api/v3/{MULTI}", SLOW) for _ in range(7)]
        statuses = [reply.status for reply in replies]
        expect(statuses[0] == 200 and statuses[-1] == 503, f"statuses {statuses}")
        check_error(replies[-1], 503, "queue|full|later|many")
        expect(statuses.count(200) in (3, 4, 5), f"statuses {statuses}")


# ---- Stops ----


def add_stop(name: str, how: int) -> None:
    @suite.case(f"{name} while a job runs: exit status 0, and after a restart the same bytes")
    def _(place: Workplace) -> None:
        with Server(place, f"calm-{how}") as calm:
            wanted = calm.api.outputs(calm.api.run(STEPS))
        with Server(place, f"stop-{how}", {"job-attempts": "1"}) as server:
            before = server.api.balance()
            prediction = server.api.submit(STEPS)["id"]
            until(lambda: server.api.result(prediction).get("step", 0) > 5, "it runs")
            start = time.monotonic()
            equal(server.stop(how=how), 0, "exit status")
            expect(time.monotonic() - start < 10, f"the stop took {time.monotonic() - start:.1f} s")
            server.start()
            done = server.api.wait(prediction, 40, "completed")
            equal(server.api.outputs(done), wanted, "bytes")
            expect(abs(before - server.api.balance() - 0.03) < 1e-9, "charged")


add_stop("SIGTERM", signal.SIGTERM)
add_stop("SIGINT", signal.SIGINT)


@suite.case("SIGTERM ends streams, waits and sync calls with whole answers, and does not wait for the job")
def _(place: Workplace) -> None:
    server = Server(place, "waiting", {"sync-window": "60s"}).start()
    name = server.api.submit(SLOW)["id"]
    answers: dict[str, Any] = {}

    def sync() -> None:
        answers["sync"] = server.api.post(f"/api/v3/{MULTI}", {**SLOW, "seed": 9, "enable_sync_mode": True}, timeout=60)

    def wait() -> None:
        answers["wait"] = server.api.get(f"/api/v3/predictions/{name}/result?wait=60", timeout=60)

    def stream() -> None:
        with server.api.events(f"/api/v3/predictions/{name}/stream") as events:
            answers["stream"] = list(events)

    threads = [threading.Thread(target=work) for work in (sync, wait, stream)]
    for thread in threads:
        thread.start()
    until(lambda: server.api.post("/api/v3/predictions", {"page": 1, "page_size": 9}).data["total"] == 2, "both jobs are there")
    time.sleep(0.3)
    start = time.monotonic()
    equal(server.stop(), 0, "exit status")
    expect(time.monotonic() - start < 12, f"the stop took {time.monotonic() - start:.1f} s")
    for thread in threads:
        thread.join(10)
    equal(sorted(answers), ["stream", "sync", "wait"], "answers that came")
    for which in ("sync", "wait"):
        expect(answers[which].status in (200, 503), f"{which}: HTTP {answers[which].status}")


@suite.case("a client in the middle of an upload does not hold up a stop for long")
def _(place: Workplace) -> None:
    server = Server(place, "uploading").start()
    with server.api.connect() as connection:
        connection.sendall(
            f"POST /api/v3/media/upload/binary HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n".encode()
        )
        time.sleep(0.2)
        start = time.monotonic()
        equal(server.stop(), 0, "exit status")
        expect(time.monotonic() - start < 15, f"the stop took {time.monotonic() - start:.1f} s")


@suite.case("a model that is not there ends the start with 4 and a sentence, and waiting jobs run when it is back")
def _(place: Workplace) -> None:
    with Server(place, "modelless") as server:
        server.api.submit(SLOW)
        waiting = [server.api.submit({**QUICK, "seed": seed})["id"] for seed in range(3)]
        equal(server.stop(), 0, "exit status")
        ends(place, "modelless", (4,), "no-model", model=place.path / "no-model", data=server.data)
        server.start()
        server.api.post(f"/api/v3/predictions/{slow_job(server)}/cancel").data
        for name in waiting:
            server.api.wait(name, 60, "completed")


def slow_job(server: Server) -> str:
    """The slow job, which nobody needs to see ending."""
    items = server.api.post("/api/v3/predictions", {"page": 1, "page_size": 9, "include_inputs": True}).data["items"]
    return next(item["id"] for item in items if item["input"]["prompt"] == SLOW["prompt"])


@suite.case("a public address without any key is refused")
def _(place: Workplace) -> None:
    ends(place, "public", (2, 3), "key", options={"listen": f"0.0.0.0:{free_port()}"})


@suite.case("the first start with no options but a data folder prints a key, an address and a curl that works", 60)
def _(place: Workplace) -> None:
    port = free_port()
    program = place.path / "kontext"  # away from the demo model, so that the synthetic one is taken
    shutil.copy(PROGRAM, program)
    server = Server(place, "bare", data=place.path / "bare-data", program=program)
    server.options = {"data": str(server.data), "listen": f"127.0.0.1:{port}"}
    server.port, server.base = port, f"http://127.0.0.1:{port}"
    with server.start():
        expect(server.key, "no key was printed")
        text = server.out_path.read_text() + server.log_path.read_text()
        expect("curl" in text and server.base in text, f"it said {text!r}")
        server.api.run(QUICK)
        server.restart()
        again = server.out_path.read_text() + server.log_path.read_text()
        equal(again.count(server.key or "-"), text.count(server.key or "-"), "times that the key is told over two starts")


@suite.case("an environment variable sets an option, and a flag wins over it")
def _(place: Workplace) -> None:
    for name, options, window in (("by-environment", {"sync-window": None}, 1), ("by-flag", {"sync-window": "3s"}, 3)):
        with Server(place, name, options, wrapper=["env", "KONTEXT_SYNC_WINDOW=1s"]) as server:
            start = time.monotonic()
            data = server.api.submit({**SLOW, "enable_sync_mode": True})
            took = time.monotonic() - start
            equal(data["code"], 5004, "code")
            expect(window * 0.8 < took < window + 1.8, f"{name}: the window took {took:.1f} s")
            server.api.post(f"/api/v3/predictions/{data['id']}/cancel").data


suite.main()
