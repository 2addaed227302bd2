"""The published Python clients, unmodified, against the real server."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from harness import pictures
from harness.client import MULTI, NOWHERE, QUICK, SLOW, ULTRA_FAST, Client
from harness.receiver import Receiver, verify
from harness.server import SOURCE, Server, Workplace, client_python, environment
from harness.tap import Suite, equal, expect, until

SCRIPT = SOURCE / "tests" / "service_e2e" / "clients" / "sdk.py"
NEW, OLD = "wavespeed-2.0.5", "wavespeed-1.0.3"


@dataclass
class Stage:
    server: Server
    picture: pathlib.Path

    @property
    def log_tail(self) -> Callable[[], str]:
        return self.server.log_tail

    def call(self, which: str, scenario: str, key: str | None = None, **arguments: Any) -> Any:
        return self.finish(self.begin(which, scenario, key, **arguments))

    def begin(self, which: str, scenario: str, key: str | None = None, **arguments: Any) -> "subprocess.Popen[str]":
        words = [str(client_python(which)), str(SCRIPT), self.server.base, scenario, json.dumps(arguments)]
        env = {**environment(), "WAVESPEED_API_KEY": key or self.server.key or ""}
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    @staticmethod
    def finish(process: "subprocess.Popen[str]", seconds: float = 90) -> Any:
        out, err = process.communicate(timeout=seconds)
        expect(process.returncode == 0 and out.strip(), f"the client ended with {process.returncode}: {err[-1500:]}")
        result = json.loads(out.strip().splitlines()[-1])
        return result["value"] if "value" in result else result

    def jobs(self, prompt: str) -> list[Any]:
        items = self.server.api.post("/api/v3/predictions", {"page": 1, "page_size": 100, "include_inputs": True}).data["items"]
        return [item for item in items if item["input"]["prompt"] == prompt]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with Workplace() as place:
        picture = place.path / "a picture.png"
        picture.write_bytes(pictures.png())
        with Server(place) as server:
            yield Stage(server, picture)


suite = Suite("Python clients", stage, 120)


def is_picture(s: Stage, value: Any) -> None:
    (url,) = value["outputs"]
    equal(pictures.size(s.server.api.download(url)), (64, 64), "size of the output")


def add_common(which: str) -> None:
    @suite.case(f"{which}: run submits, polls and gives the outputs")
    def _(s: Stage) -> None:
        is_picture(s, s.call(which, "run", model=MULTI, input=QUICK))
        is_picture(s, s.call(which, "run", model=ULTRA_FAST, input=QUICK))

    @suite.case(f"{which}: the module's run works with a configured base URL")
    def _(s: Stage) -> None:
        is_picture(s, s.call(which, "module", model=MULTI, input=QUICK))

    @suite.case(f"{which}: sync mode gives the outputs in one request")
    def _(s: Stage) -> None:
        is_picture(s, s.call(which, "sync", model=MULTI, input=QUICK))

    @suite.case(f"{which}: an uploaded file is an input")
    def _(s: Stage) -> None:
        url = s.call(which, "upload", path=str(s.picture))
        equal(s.server.api.download(url), pictures.png(), "bytes of the upload")
        stream = s.call(which, "upload_stream", path=str(s.picture))
        is_picture(s, s.call(which, "run", model=MULTI, input={**QUICK, "images": [url, stream]}))

    @suite.case(f"{which}: a failed job raises with its reason, and is not run twice")
    def _(s: Stage) -> None:
        params = {**QUICK, "prompt": f"failing {which}", "images": [NOWHERE]}
        result = s.call(which, "run", model=MULTI, input=params, options={"max_retries": 2})
        expect("raised" in result and "Prediction failed" in result["text"], f"the client gave {result}")
        jobs = s.jobs(params["prompt"])
        equal([(job["status"], job["code"]) for job in jobs], [("failed", 1402)], "jobs")

    @suite.case(f"{which}: a wrong key raises HTTP 401")
    def _(s: Stage) -> None:
        for scenario in ("run", "sync"):
            result = s.call(which, scenario, key="wrong", model=MULTI, input=QUICK)
            expect("HTTP 401" in result.get("text", ""), f"the client gave {result}")
        expect("HTTP 401" in s.call(which, "upload", key="wrong", path=str(s.picture)).get("text", ""), "upload")

    @suite.case(f"{which}: a bad parameter raises HTTP 400 with the sentence")
    def _(s: Stage) -> None:
        result = s.call(which, "run", model=MULTI, input={**QUICK, "num_images": 9})
        expect("HTTP 400" in result.get("text", "") and "num_images" in result["text"], f"the client gave {result}")

    @suite.case(f"{which}: base64 outputs arrive")
    def _(s: Stage) -> None:
        value = s.call(which, "run", model=MULTI, input={**QUICK, "enable_base64_output": True})
        expect(not value["outputs"][0].startswith("http"), "the output is a URL")

    @suite.case(f"{which}: a webhook given in the model's query arrives and verifies by the documented recipe")
    def _(s: Stage) -> None:
        with Receiver() as receiver:
            is_picture(s, s.call(which, "run", model=f"{MULTI}?webhook={receiver.url('/hook')}", input=QUICK))
            (hook,) = receiver.wait_hooks("/hook")
            verify(hook, s.server.api.get("/api/v3/webhook/secret").data["secret"])


for name in (NEW, OLD):
    add_common(name)


def stop_jobs(api: Client, jobs: list[Any]) -> None:
    for job in jobs:
        api.post(f"/api/v3/predictions/{job['id']}/cancel")


@suite.case("wavespeed-2.0.5: a sync time-out is told with the job's id and where to ask later")
def _(s: Stage) -> None:
    params = {**SLOW, "prompt": "outlives the window"}
    result = s.call(NEW, "sync", model=MULTI, input=params)
    (job,) = s.jobs(params["prompt"])
    expect("Sync mode timed out" in result["text"] and job["id"] in result["text"], f"the client gave {result}")
    expect("Query the result later at:" in result["text"] or job["urls"]["get"] in result["text"], f"the client gave {result}")
    later = s.call(NEW, "get_result", id=job["id"])
    expect(later["data"]["status"] in ("processing", "completed"), f"later it is {later['data']['status']}")
    quiet = s.call(NEW, "no_throw", model=MULTI, input=params, options={"enable_sync_mode": True})
    equal((quiet["status"], quiet["outputs"]), ("processing", None), "run_no_throw")
    stop_jobs(s.server.api, s.jobs(params["prompt"]))


@suite.case("wavespeed-2.0.5: run_no_throw tells the id, and ends on a cancelled job")
def _(s: Stage) -> None:
    done = s.call(NEW, "no_throw", model=MULTI, input=QUICK)
    equal((done["status"], done["error"], len(done["task_id"])), ("completed", None, 32), "status, error and length of the id")
    params = {**SLOW, "prompt": "to be cancelled"}
    process = s.begin(NEW, "no_throw", model=MULTI, input=params)
    (job,) = until(lambda: s.jobs(params["prompt"]), "the job is there")
    stop_jobs(s.server.api, [job])
    result = s.finish(process)
    equal((result["status"], result["task_id"]), ("failed", job["id"]), "status and task_id")
    expect("cancelled" in result["error"], f"error is {result['error']!r}")


@suite.case("wavespeed-1.0.3: a submit to a server that is just starting is repeated and makes one job")
def _(s: Stage) -> None:
    params = {**QUICK, "prompt": "before the start"}
    equal(s.server.stop(), 0, "exit status")
    process = s.begin(OLD, "run", model=MULTI, input=params)
    assert process.stdout
    until(lambda: "Connection error" in process.stdout.readline(), "the client has failed once")
    s.server.start()
    is_picture(s, s.finish(process))
    equal(len(s.jobs(params["prompt"])), 1, "jobs")


@suite.case("wavespeed-1.0.3: a sync submit that is cut by a crash of the server is repeated, joins and is charged once")
def _(s: Stage) -> None:
    with Server(s.server.place, "crashing", {"sync-window": "80s"}) as server:
        cut = Stage(server, s.picture)
        params = {**SLOW, "prompt": "cut by a crash", "num_images": 1, "num_inference_steps": 20}
        before = server.api.balance()
        process = cut.begin(OLD, "sync", model=MULTI, input=params)
        until(lambda: cut.jobs(params["prompt"]) and cut.jobs(params["prompt"])[0]["status"] == "processing", "the job runs")
        server.kill()
        server.start()
        value = cut.finish(process)
        equal(len(value["outputs"]), 1, f"outputs ({value})")
        equal([job["status"] for job in cut.jobs(params["prompt"])], ["completed"], "jobs")
        expect(abs(before - server.api.balance() - 0.03) < 1e-9, f"charged {before - server.api.balance()}")


@suite.case("wavespeed-2.0.5: polls survive a restart of the server")
def _(s: Stage) -> None:
    params = {**SLOW, "prompt": "over a restart", "num_images": 1, "size": "384*384"}
    process = s.begin(NEW, "run", model=MULTI, input=params)
    until(lambda: s.jobs(params["prompt"]) and s.jobs(params["prompt"])[0]["status"] == "processing", "the job runs")
    s.server.restart()
    equal(len(s.finish(process)["outputs"]), 1, "outputs")
    equal(len(s.jobs(params["prompt"])), 1, "jobs")


suite.main()
