"""The product page's three samples as printed, and the samples of docs/api.md: they are extracted and run."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from harness import pictures
from harness.client import QUICK
from harness.server import SOURCE, Server, Workplace, client_python, environment, node
from harness.tap import Skip, Suite, equal, expect

CLIENTS = SOURCE / "tests" / "service_e2e" / "clients"
PAGE = pathlib.Path(os.environ.get("KONTEXT_SHARED", SOURCE.parent / "shared")) / "design" / "product-page.txt"
VENDOR = "https://api.wavespeed.ai"


@dataclass
class Stage:
    server: Server
    folder: pathlib.Path

    @property
    def log_tail(self) -> Callable[[], str]:
        return self.server.log_tail

    def run(self, words: list[str], env: dict[str, str] | None = None) -> str:
        keys = {"WAVESPEED_API_KEY": self.server.key or "", "KONTEXT_KEY": self.server.key or "", "KONTEXT_URL": self.server.base}
        done = subprocess.run(words, capture_output=True, text=True, timeout=80, cwd=self.folder, stdin=subprocess.DEVNULL,
                              env={**environment(), **keys, **(env or {})})  # fmt: skip
        expect(done.returncode == 0, f"{' '.join(words)[:200]} ended with {done.returncode}:\n{done.stdout[-800:]}\n{done.stderr[-1500:]}")
        return done.stdout

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with Workplace() as place, Server(place) as server:
        folder = place.path / "samples"
        folder.mkdir()
        yield Stage(server, folder)


suite = Suite("samples", stage, 120)


def page_sample(first: str, last: str) -> str:
    if not PAGE.exists():
        raise Skip(f"{PAGE} is not there")
    text = PAGE.read_text()
    start = text.index(first)
    end = text.index(last, start)
    return text[start:end].split("\n", 1)[1]


def output_of(s: Stage, said: str) -> None:
    found = re.search(re.escape(s.server.base) + r"/\S+\.(jpeg|png)", said)
    expect(found, f"no output URL in {said!r}")
    assert found
    equal(pictures.kind(s.server.api.download(found.group())), "jpeg", "format of the output")


@suite.case("the page's curl sample runs as printed, only the base URL changed")
def _(s: Stage) -> None:
    sample = page_sample("HTTP example", "Node.js example").replace(VENDOR, s.server.base)
    submit, poll = sample.split("# Response includes a prediction id. Poll for the result:\n")
    said = s.run(["sh", s.file("submit.sh", submit)])
    found = re.search(r'"id":\s*"([^"]+)"', said)
    expect(found, f"no id in {said!r}")
    assert found
    s.server.api.wait(found.group(1), 60, "completed")
    output_of(s, s.run(["sh", s.file("poll.sh", poll.replace("{request_id}", found.group(1)))]))


@suite.case("the page's Node sample runs as printed, only the base URL changed")
def _(s: Stage) -> None:
    program, modules = node("npm-0.3.2")
    path = s.file("sample.js", page_sample("Node.js example", "Python example"))
    output_of(s, s.run([program, str(CLIENTS / "page_sample.cjs"), s.server.base, path], {"NODE_PATH": str(modules)}))


def add_python(which: str) -> None:
    @suite.case(f"the page's Python sample runs as printed, only the base URL changed ({which})")
    def _(s: Stage) -> None:
        sample = page_sample("Python example", "Flux Kontext Dev Multi API — Frequently")
        base = f"import wavespeed\nwavespeed.config.api.base_url = {s.server.base!r}\n"
        output_of(s, s.run([str(client_python(which)), s.file("sample.py", base + sample)]))


for name in ("wavespeed-2.0.5", "wavespeed-1.0.3"):
    add_python(name)


# ---- docs/api.md ----

GUIDE = SOURCE / "docs" / "api.md"
MARK = re.compile(r"<!-- sample: (?P<name>[^>]+?) -->\s*```(?P<kind>\w+)\n(?P<text>.*?)```", re.S)


def add_guide(name: str, kind: str, text: str) -> None:
    @suite.case(f"docs/api.md: the sample '{name}' ({kind}) runs")
    def _(s: Stage) -> None:
        (s.folder / "house.png").write_bytes(pictures.png())
        (s.folder / "picture.png").write_bytes(pictures.png())
        text_here = text.replace("http://127.0.0.1:8080", s.server.base).replace("http://localhost:8080", s.server.base)
        if kind in ("sh", "bash"):
            s.run(["sh", "-e", s.file("sample.sh", text_here)])
        elif kind in ("python", "py"):
            s.run([str(client_python("wavespeed-2.0.5")), s.file("sample.py", text_here)])
        else:
            program, modules = node("npm-0.3.2")
            link = s.folder / "node_modules"
            if not link.exists():
                link.symlink_to(modules)
            s.run([program, s.file("sample.mjs" if "import " in text else "sample.cjs", text_here)])


samples: list[Any] = list(MARK.finditer(GUIDE.read_text())) if GUIDE.exists() else []
for sample in samples:
    add_guide(sample["name"].strip(), sample["kind"], sample["text"])


@suite.case("docs/api.md has samples for curl, Python and Node")
def _(s: Stage) -> None:
    if not GUIDE.exists():
        raise Skip("docs/api.md is not written yet")
    kinds = {sample["kind"] for sample in samples}
    expect(kinds & {"sh", "bash"} and kinds & {"python", "py"} and kinds & {"js", "javascript", "mjs"}, f"there are {kinds}")
    s.server.api.run(QUICK)


suite.main()
