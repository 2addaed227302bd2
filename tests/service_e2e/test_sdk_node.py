"""The published Node clients, unmodified, against the real server."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import subprocess
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from harness import pictures
from harness.client import MULTI, NOWHERE, QUICK, SLOW, ULTRA_FAST
from harness.receiver import Receiver, verify
from harness.server import SOURCE, Server, Workplace, environment, node, pause
from harness.tap import Suite, equal, expect, until

SCRIPT = SOURCE / "tests" / "service_e2e" / "clients" / "sdk.cjs"
NEW, OLD = "npm-0.3.2", "npm-0.2.3"


@dataclass
class Stage:
    server: Server
    patient: Server  # with a sync window of 80 s
    picture: pathlib.Path

    @property
    def log_tail(self) -> Callable[[], str]:
        return self.server.log_tail

    def call(self, which: str, scenario: str, key: str | None = None, server: Server | None = None, **arguments: Any) -> Any:
        return self.finish(self.begin(which, scenario, key, server, **arguments))

    def begin(self, which: str, scenario: str, key: str | None, server: Server | None, **arguments: Any) -> "subprocess.Popen[str]":
        server = server or self.server
        program, modules = node(which)
        env = {**environment(), "WAVESPEED_API_KEY": key or server.key or "", "NODE_PATH": str(modules)}
        words = [program, str(SCRIPT), server.base, scenario, json.dumps(arguments)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    @staticmethod
    def finish(process: "subprocess.Popen[str]", seconds: float = 150) -> Any:
        out, err = process.communicate(timeout=seconds)
        expect(process.returncode == 0 and out.strip(), f"the client ended with {process.returncode}: {err[-1500:]}")
        result = json.loads(out.strip().splitlines()[-1])
        return result["value"] if "value" in result else result


def jobs(server: Server, prompt: str) -> list[Any]:
    items = server.api.post("/api/v3/predictions", {"page": 1, "page_size": 100, "include_inputs": True}).data["items"]
    return [item for item in items if item["input"]["prompt"] == prompt]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with Workplace() as place:
        picture = place.path / "a picture.png"
        picture.write_bytes(pictures.png())
        with Server(place) as server, Server(place, "patient", {"sync-window": "80s"}) as patient:
            yield Stage(server, patient, picture)


suite = Suite("Node clients", stage, 120)


def is_picture(s: Stage, value: Any) -> None:
    (url,) = value["outputs"]
    equal(pictures.size(s.server.api.download(url)), (64, 64), "size of the output")


def add_common(which: str) -> None:
    @suite.case(f"{which}: run submits, polls and gives the outputs")
    def _(s: Stage) -> None:
        is_picture(s, s.call(which, "run", model=MULTI, input=QUICK))
        is_picture(s, s.call(which, "run", model=ULTRA_FAST, input=QUICK))

    @suite.case(f"{which}: sync mode gives the outputs in one request")
    def _(s: Stage) -> None:
        is_picture(s, s.call(which, "sync", model=MULTI, input=QUICK))

    @suite.case(f"{which}: runNoThrow tells the id and the state")
    def _(s: Stage) -> None:
        value = s.call(which, "no_throw", model=MULTI, input=QUICK)
        equal((value["detail"]["status"], len(value["detail"]["taskId"])), ("completed", 32), "status and length of the id")
        is_picture(s, value)

    @suite.case(f"{which}: an uploaded file is an input")
    def _(s: Stage) -> None:
        url = s.call(which, "upload", path=str(s.picture))
        equal(s.server.api.download(url), pictures.png(), "bytes of the upload")
        is_picture(s, s.call(which, "run", model=MULTI, input={**QUICK, "images": [url]}))

    @suite.case(f"{which}: a failed job throws with its reason, and is not run twice")
    def _(s: Stage) -> None:
        params = {**QUICK, "prompt": f"failing {which}", "images": [NOWHERE]}
        result = s.call(which, "run", model=MULTI, input=params, options={"maxRetries": 2})
        expect("Prediction failed" in result.get("text", ""), f"the client gave {result}")
        equal([(job["status"], job["code"]) for job in jobs(s.server, params["prompt"])], [("failed", 1402)], "jobs")
        quiet = s.call(which, "no_throw", model=MULTI, input=params)
        job = jobs(s.server, params["prompt"])[0]
        equal((quiet["detail"]["status"], quiet["detail"]["taskId"]), ("failed", job["id"]), "runNoThrow")

    @suite.case(f"{which}: a wrong key throws HTTP 401")
    def _(s: Stage) -> None:
        for scenario in ("run", "sync"):
            result = s.call(which, scenario, key="wrong", model=MULTI, input=QUICK)
            expect("HTTP 401" in result.get("text", ""), f"the client gave {result}")
        expect("HTTP 401" in s.call(which, "upload", key="wrong", path=str(s.picture)).get("text", ""), "upload")

    @suite.case(f"{which}: a webhook given in the model's query arrives and verifies by the documented recipe")
    def _(s: Stage) -> None:
        with Receiver() as receiver:
            is_picture(s, s.call(which, "run", model=f"{MULTI}?webhook={receiver.url('/hook')}", input=QUICK))
            (hook,) = receiver.wait_hooks("/hook")
            verify(hook, s.server.api.get("/api/v3/webhook/secret").data["secret"])


for name in (NEW, OLD):
    add_common(name)


@suite.case("npm-0.3.2: a sync time-out is told with the job's id and where to ask later")
def _(s: Stage) -> None:
    params = {**SLOW, "prompt": "outlives the window"}
    quiet = s.call(NEW, "no_throw", model=MULTI, input=params, options={"enableSyncMode": True})
    (job,) = jobs(s.server, params["prompt"])
    detail = quiet["detail"]
    equal((detail["status"], detail["taskId"]), ("processing", job["id"]), "status and taskId")
    equal(detail["resultUrl"], job["urls"]["get"], "resultUrl")
    s.server.api.post(f"/api/v3/predictions/{job['id']}/cancel")


@suite.case("npm-0.3.2: run ends on a cancelled job")
def _(s: Stage) -> None:
    params = {**SLOW, "prompt": "to be cancelled"}
    process = s.begin(NEW, "run", None, None, model=MULTI, input=params)
    (job,) = until(lambda: jobs(s.server, params["prompt"]), "the job is there")
    s.server.api.post(f"/api/v3/predictions/{job['id']}/cancel").data
    expect("ancelled" in s.finish(process).get("text", ""), "the client did not end on it")


@suite.case("npm-0.2.3: a sync call longer than its 10 s limit is sent again and joins the one job", 200)
def _(s: Stage) -> None:
    def slowly(handler: http.server.BaseHTTPRequestHandler) -> None:
        pause(13)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(pictures.png())))
        handler.end_headers()
        handler.wfile.write(pictures.png())

    with Receiver() as receiver:
        params = {**QUICK, "prompt": "longer than ten seconds", "images": [receiver.give("/slow.png", act=slowly)]}
        before = s.patient.api.balance()
        value = s.call(OLD, "sync", server=s.patient, model=MULTI, input=params)
        equal(len(value.get("outputs", [])), 1, f"outputs ({value})")
        equal([job["status"] for job in jobs(s.patient, params["prompt"])], ["completed"], "jobs")
        equal(len(receiver.asked), 1, "times that the picture was fetched")
        expect(abs(before - s.patient.api.balance() - 0.03) < 1e-9, f"charged {before - s.patient.api.balance()}")


suite.main()
