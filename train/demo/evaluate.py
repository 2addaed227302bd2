"""Judges a model on held-out edits: a table for every kind, and a sheet of random results.

    python -m train.demo.evaluate program build/kontext models/demo --per-kind 40 --sheet sheet.png
    python -m train.demo.evaluate checkpoint .cache/train-runs/flow.pt --per-kind 8

`program` runs the program itself, one process an edit; `checkpoint` is for watching the training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from train.demo import edits
from train.demo.draw import draw
from train.demo.edits import Edit
from train.demo.judge import Verdict, judge


@dataclasses.dataclass(frozen=True)
class Result:
    """A judged picture."""

    edit: Edit
    picture: np.ndarray
    verdict: Verdict
    seconds: float


def held_out_edits(per_kind: int, seed: int, kinds: Sequence[str] = ()) -> list[Edit]:
    """The same edits for the same arguments, of combinations that training never sees."""
    unknown = set(kinds) - {kind.name for kind in edits.KINDS}
    if unknown:
        names = ", ".join(kind.name for kind in edits.KINDS)
        raise SystemExit(f"there is no kind of edit {', '.join(sorted(unknown))}; there are: {names}")
    chosen = [(i, kind.name) for i, kind in enumerate(edits.KINDS) if not kinds or kind.name in kinds]
    return [
        edits.make(name, np.random.default_rng((seed, i, sample)), held_out=True)
        for i, name in chosen
        for sample in range(per_kind)
    ]


def result(edit: Edit, picture: np.ndarray, seconds: float) -> Result:
    """Judges one picture."""
    return Result(edit, picture, judge(picture, edit), seconds)


def drawn_references(edit: Edit) -> list[np.ndarray]:
    """The pictures of the edit's references."""
    return [draw(scene) for scene in edit.references]


def write_pictures(pictures: Sequence[np.ndarray], folder: Path) -> list[Path]:
    """References as PNG files."""
    paths = [folder / f"reference-{i}.png" for i in range(1, len(pictures) + 1)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    return paths


def run_program(
    program: Path, model: Path, prompt: str, references: Sequence[np.ndarray], seed: int, options: Sequence[str] = ()
) -> tuple[np.ndarray, float]:
    """The program's picture and its seconds from start to end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [part for path in write_pictures(references, folder) for part in ("-i", str(path))]
        output = folder / "result.png"
        command = [program, "edit", "-q", "-m", model, *images, "-p", prompt, "-o", output, "--seed", str(seed)]
        begin = time.monotonic()
        subprocess.run([str(part) for part in [*command, *options]], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begin
        return np.asarray(Image.open(output).convert("RGB")), seconds


def on_every_core(run: Callable[[int], Any], count: int) -> list[Any]:
    """run(0) to run(count - 1), as many at a time as this process may use cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        return list(executor.map(run, range(count)))


def program_results(program: Path, model: Path, tasks: list[Edit], options: Sequence[str] = ()) -> list[Result]:
    """Runs the program on every edit, one process of one thread on each core; the seed is the number of the edit."""

    def run(number: int) -> Result:
        edit = tasks[number]
        picture, seconds = run_program(program, model, edit.prompt, drawn_references(edit), number, ["--threads", "1", *options])
        return result(edit, picture, seconds)

    return on_every_core(run, len(tasks))


def checkpoint_results(checkpoint: Path, model: Path, tasks: list[Edit], steps: int, which: str) -> list[Result]:
    """Runs the PyTorch model of a checkpoint."""
    from train.demo.export import checkpoint_state
    from train.demo.flow import build
    from train.demo.networks import Shape
    from train.demo.number_format import PRODUCTS
    from train.demo.pool import Encoder
    from train.demo.sampling import make_pictures

    shape = Shape.of_folder(model)
    modules = build(shape, 0)
    modules.load_state_dict(checkpoint_state(checkpoint, which))
    begin = time.monotonic()
    pictures = make_pictures(modules.to(PRODUCTS), Encoder(model), tasks, steps, 0)
    seconds = (time.monotonic() - begin) / len(tasks)
    return [result(edit, picture, seconds) for edit, picture in zip(tasks, pictures, strict=True)]


def table(results: list[Result]) -> str:
    """Markdown: one row for each kind, then sums by number of references."""
    lines = ["| kind | references | edits | success | preserved, dB | seconds |", "| --- | --- | --- | --- | --- | --- |"]

    def row(title: str, references: str, part: list[Result]) -> None:
        if not part:
            return
        kept = [r.verdict.preserved_psnr for r in part if r.verdict.preserved_psnr is not None]
        dB = f"{np.mean(kept):.1f}" if kept else ""
        rate, seconds = np.mean([r.verdict.ok for r in part]), np.mean([r.seconds for r in part])
        lines.append(f"| {title} | {references} | {len(part)} | {100 * rate:.0f} % | {dB} | {seconds:.2f} |")

    for kind in edits.KINDS:
        row(kind.name, str(kind.references), [r for r in results if r.edit.kind == kind.name])
    groups = {"from text": (0,), "one reference": (1,), "several references": (2, 3, 4), "all": (0, 1, 2, 3, 4)}
    for title, counts in groups.items():
        row(f"**{title}**", "", [r for r in results if len(r.edit.references) in counts])
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    program = commands.add_parser("program", help="judge the program's pictures")
    program.add_argument("program", type=Path)
    program.add_argument("model", type=Path)
    program.add_argument("--option", action="append", default=[], help="another argument for the program; repeatable")
    checkpoint = commands.add_parser("checkpoint", help="judge a checkpoint in PyTorch")
    checkpoint.add_argument("checkpoint", type=Path)
    checkpoint.add_argument("--model", type=Path, default=Path("models/demo"), help="folder with VAE and tokenizers")
    checkpoint.add_argument("--steps", type=int, default=8)
    checkpoint.add_argument("--which", default="average", choices=("average", "master"))
    checkpoint.add_argument("--threads", type=int, default=1)
    for command in (program, checkpoint):
        command.add_argument("--per-kind", type=int, default=40)
        command.add_argument("--kinds", default="", help="comma-separated; all without it")
        command.add_argument("--seed", type=int, default=1000)
        command.add_argument("--sheet", type=Path, help="write a picture of random results")
        command.add_argument("--sheet-count", type=int, default=24)
        command.add_argument("--json", type=Path, help="write success by kind")
    args = parser.parse_args()
    tasks = held_out_edits(args.per_kind, args.seed, [kind for kind in args.kinds.split(",") if kind])
    if args.command == "program":
        results = program_results(args.program, args.model, tasks, args.option)
    else:
        import torch

        torch.set_num_threads(args.threads)
        results = checkpoint_results(args.checkpoint, args.model, tasks, args.steps, args.which)
    print(table(results))
    if args.sheet:
        from train.demo.sheet import result_sheet

        chosen = np.random.default_rng(args.seed).permutation(len(results))[: args.sheet_count]
        Image.fromarray(result_sheet([results[i] for i in sorted(chosen)])).save(args.sheet, optimize=True)
    if args.json:
        names = {r.edit.kind for r in results}
        rates = {name: float(np.mean([r.verdict.ok for r in results if r.edit.kind == name])) for name in sorted(names)}
        args.json.write_text(json.dumps(rates, indent=2) + "\n")


if __name__ == "__main__":
    main()
