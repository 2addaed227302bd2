"""The real program, `kontext serve`, started with a fresh data folder on a free port."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Iterator, Mapping

from .client import Client
from .tap import Skip, expect, until

SOURCE = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = pathlib.Path(os.environ.get("KONTEXT_PROGRAM", SOURCE / "build" / "kontext")).resolve()
KEY = re.compile(r"\bkx_[0-9A-Za-z_-]{20,}")

# What every test server has beside the defaults. None: not given.
OPTIONS: dict[str, str | None] = {
    "fetch-allow": "127.0.0.0/8,::1/128",
    "sync-window": "3s",
    "initial-balance": "1000",
    "submits-per-minute": "0",
    "webhook-backoff": "1,2,4",
    "threads": "1",
    "preview-steps": "0",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment() -> dict[str, str]:
    """Without settings of whoever runs the tests, and without proxies."""
    return {k: v for k, v in os.environ.items() if not k.startswith("KONTEXT_") and not k.lower().endswith("_proxy")}


def kontext(*arguments: str, check: bool = True, **more: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, env=environment(), **more)
    if check:
        expect(done.returncode == 0, f"kontext {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done


class Workplace:
    """A temporary folder with a tiny model in it; gone at the end."""

    def __init__(self) -> None:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="kontext-service-"))
        self.model = self.path / "model"

    def __enter__(self) -> "Workplace":
        kontext("model", "synth", "--preset", "tiny", str(self.model), "--quiet")
        return self

    def __exit__(self, *_: object) -> None:
        if os.environ.get("KEEP"):
            print(f"# kept: {self.path}", flush=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """One data folder and the program that serves it, which may be stopped, killed and started again."""

    def __init__(
        self,
        place: Workplace,
        name: str = "server",
        options: Mapping[str, str | None] | None = None,
        data: pathlib.Path | None = None,
        model: pathlib.Path | None = None,
        wrapper: list[str] | None = None,
        program: pathlib.Path = PROGRAM,
    ):
        self.place = place
        self.data = data or place.path / f"{name}-data"
        self.clock_file = place.path / f"{name}-clock"
        self.log_path = place.path / f"{name}.log"
        self.out_path = place.path / f"{name}.out"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.options = {**OPTIONS, "data": str(self.data), "model": str(model or place.model), "listen": f"127.0.0.1:{self.port}"}
        self.options.update(options or {})
        self.wrapper = wrapper or []
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.key: str | None = None
        self.starts = 0

    # ---- Running ----

    def command(self) -> list[str]:
        words = [*self.wrapper, str(self.program), "serve"]
        for name, value in self.options.items():
            if value is not None:
                words += [f"--{name}"] + ([value] if value != "" else [])
        return words

    def start(self, ready: bool = True, seconds: float = 30.0, **more: object) -> "Server":
        expect(self.process is None, "the server runs already")
        self.starts += 1
        with open(self.out_path, "ab") as out, open(self.log_path, "ab") as log:
            before = out.tell()
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment(), **more
            )
        if ready:
            self.wait_ready(seconds)
        if self.key is None:
            text = until(lambda: self.said(before), "the server says where it listens", seconds)
            found = KEY.search(text)
            self.key = found.group() if found else None
        return self

    def said(self, start: int = 0) -> str:
        """What it printed on both outputs, once that holds the address."""
        text = self.out_path.read_text(errors="replace")[start:] + self.log_path.read_text(errors="replace")
        return text if str(self.port) in text else ""

    def wait_ready(self, seconds: float = 30.0) -> None:
        def ready() -> bool:
            assert self.process is not None
            status = self.process.poll()
            expect(status is None, f"kontext serve ended with {status}:\n{self.log_tail()}")
            try:
                return Client(self.base).get("/readyz", timeout=5).status == 200
            except OSError:
                return False

        until(ready, "/readyz answers 200", seconds)

    def stop(self, seconds: float = 30.0, how: int = signal.SIGTERM) -> int:
        """Asks it to end; the exit status."""
        process, self.process = self.process, None
        expect(process, "the server does not run")
        assert process is not None
        process.send_signal(how)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"still running {seconds:g} s after signal {how}\n{self.log_tail()}") from None

    def kill(self) -> None:
        process, self.process = self.process, None
        assert process is not None
        process.kill()
        process.wait()

    def restart(self) -> "Server":
        expect(self.stop() == 0, f"the exit status after SIGTERM is not 0\n{self.log_tail()}")
        return self.start()

    def __enter__(self) -> "Server":
        return self.start() if self.process is None else self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process is None:
            return
        if kind is not None:
            self.kill()
            return
        crashed = self.process.poll()
        expect(crashed is None, f"the server ended by itself with {crashed}\n{self.log_tail()}")
        status = self.stop()
        expect(status == 0, f"the exit status after SIGTERM is {status}\n{self.log_tail()}")

    # ---- Looking at it ----

    def log_tail(self, lines: int = 6) -> str:
        """The last lines that are more than an ordinary access."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        told = [line for line in text.splitlines() if not re.search(r'"status":[1-4]\d\d,', line)]
        return "\n".join(f"log: {line[:400]}" for line in told[-lines:])

    @property
    def api(self) -> Client:
        return Client(self.base, self.key)

    @property
    def anyone(self) -> Client:
        return Client(self.base)

    def resident_bytes(self) -> int:
        assert self.process is not None
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    # ---- Keys ----

    def make_key(self, name: str, **options: object) -> Client:
        """A further key: role="read", balance="5", concurrency=1, submits_per_minute=2."""
        words = ["key", "create", name, "--data", str(self.data)]
        for option, value in options.items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        found = KEY.search(kontext(*words).stdout)
        expect(found, "kontext key create prints no key")
        assert found is not None
        return Client(self.base, found.group())

    # ---- Time ----

    def move_clock(self, seconds: float) -> None:
        """Needs the option test-clock, see clock_options. Wall time becomes the system's plus `seconds`."""
        self.clock_file.write_text(f"{seconds}\n")

    def with_clock(self) -> "Server":
        self.clock_file.write_text("0\n")
        self.options["test-clock"] = str(self.clock_file)
        return self


@contextlib.contextmanager
def one_server(options: Mapping[str, str | None] | None = None, clock: bool = False) -> Iterator[Server]:
    """The fixture of most files."""
    with Workplace() as place:
        server = Server(place, options=options)
        if clock:
            server.with_clock()
        with server:
            yield server


def clients_folder() -> pathlib.Path:
    """Where ./dev installs the third-party clients."""
    return SOURCE / ".cache" / "tests"


def client_python(which: str) -> pathlib.Path:
    """The interpreter of the environment that holds this client."""
    python = clients_folder() / which / "bin" / "python"
    if not python.exists():
        raise Skip(f"{python} is not there; ./dev test installs it")
    return python


def node(which: str) -> tuple[str, pathlib.Path]:
    program = shutil.which("node")
    modules = clients_folder() / which / "node_modules"
    if not program or not modules.exists():
        raise Skip(f"node or {modules} is not there; ./dev test installs them")
    return program, modules


def run_client(words: list[str], env: Mapping[str, str], seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=seconds, env={**environment(), **env}, stdin=subprocess.DEVNULL
    )


def pause(seconds: float) -> None:
    """Only where time itself is what is tested."""
    time.sleep(seconds)


if __name__ == "__main__":  # by hand: a server of the tests to play with
    with one_server() as it:
        print(f"{it.base}\n{it.key}")
        sys.stdin.read()
