"""schemathesis against /openapi.json: no 500, and every answer as the document says."""

from __future__ import annotations

import pathlib
import re
import subprocess

from harness.server import Server, clients_folder, environment, one_server
from harness.tap import Skip, Suite, equal, expect, remark

suite = Suite("OpenAPI", lambda: one_server({"upload-quota": "100000000", "max-wait": "2s", "sync-window": "2s"}), 240)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


@suite.case("schemathesis finds no server error and no answer outside the document")
def _(server: Server) -> None:
    program: pathlib.Path = clients_folder() / "schemathesis" / "bin" / "schemathesis"
    if not program.exists():
        raise Skip(f"{program} is not there; ./dev test installs it")
    words = [
        str(program), "run", f"{server.base}/openapi.json", "--checks", CHECKS, "--header", f"Authorization:Bearer {server.key}",
        "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "20", "--max-time", "45", "--request-timeout", "15",
        "--exclude-path-regex", "/stream$", "--generation-database", "none", "--no-color", "--continue-on-failure", "--workers", "1",
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=220, env=environment(), cwd=server.place.path)
    if done.returncode != 0:
        remark(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)[-8000:])
        remark(done.stderr[-2000:])
    equal(done.returncode, 0, "exit status of schemathesis")


@suite.case("afterwards the server is well")
def _(server: Server) -> None:
    equal(server.anyone.get("/readyz").status, 200, "readyz")
    expect(server.process and server.process.poll() is None, "the server has ended")


suite.main()
