"""The product page's three samples as printed, and the samples of docs/api.md: they are extracted and run."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass
from typing import Callable, Iterator

from harness import pictures
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
        keys = {"WAVESPEED_API_KEY": self.server.key or ""}
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
        # It is printed with the constants of JSON, which are lent to it.
        base = f"false, true, null = False, True, None\nimport wavespeed\nwavespeed.config.api.base_url = {s.server.base!r}\n"
        output_of(s, s.run([str(client_python(which)), s.file("sample.py", base + sample)]))


for name in ("wavespeed-2.0.5", "wavespeed-1.0.3"):
    add_python(name)


# ---- docs/api.md: code blocks marked `test`, one after another in one folder ----

GUIDE = SOURCE / "docs" / "api.md"
PIECE = re.compile(r"^#+ (?P<heading>[^\n]+)$|^```(?P<kind>\w+) test\n(?P<text>.*?)^```$", re.S | re.M)


def add_guide(number: int, heading: str, kind: str, text: str) -> None:
    @suite.case(f"docs/api.md: sample {number} ({kind}, in '{heading}') runs")
    def _(s: Stage) -> None:
        (s.folder / "house.png").write_bytes(pictures.png())
        env = {"BASE": s.server.base, "KEY": s.server.key or "", "PICTURE": "house.png"}
        if kind == "sh":
            said = s.run(["sh", "-e", s.file("sample.sh", text)], env)
        elif kind == "python":
            said = s.run([str(client_python("wavespeed-2.0.5")), s.file("sample.py", text)], env)
        else:
            program, modules = node("npm-0.3.2")
            said = s.run([program, s.file("sample.cjs", text)], {**env, "NODE_PATH": str(modules)})
        expect(not re.search(r'"code": ?[45]\d\d\b', said), f"an error was answered: {said[:500]!r}")


def add_guides() -> set[str]:
    heading, kinds = "", []
    for piece in PIECE.finditer(GUIDE.read_text()):
        if piece["heading"]:
            heading = piece["heading"]
            continue
        kinds.append(piece["kind"])
        add_guide(len(kinds), heading, piece["kind"], piece["text"])
    return set(kinds)


found_kinds = add_guides()


@suite.case("docs/api.md has samples for curl, Python and Node")
def _(_stage: Stage) -> None:
    equal(found_kinds, {"sh", "python", "js"}, "kinds of samples")


suite.main()
