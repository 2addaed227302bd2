"""Lets a model make latents: what the decoder gets in earnest is not what the encoder makes.

    python -m train.demo.own_latents_make models/demo .cache/train-runs/own.pt --count 20000 --kinds train/kinds-fifth.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

from train.demo import edits
from train.demo.draw import draw
from train.demo.edits import Edit
from train.demo.flow import build
from train.demo.judge import difference
from train.demo.names import read_folder
from train.demo.networks import Shape
from train.demo.number_format import PRODUCTS
from train.demo.own_latents import WRONG, edit_of
from train.demo.pool import Encoder, unpack
from train.demo.sampling import make_tokens

TOGETHER = 256  # edits of which those with as many references share a pass
DECODED_TOGETHER = 16


def chances_of_kinds(weights_file: Path | None) -> np.ndarray:
    """Of every kind, by its weight; a JSON file may give other weights."""
    weights = {kind.name: kind.weight for kind in edits.KINDS}
    if weights_file:
        weights |= json.loads(weights_file.read_text())
    chances = np.array([weights[kind.name] for kind in edits.KINDS])
    return chances / chances.sum()


def compare(edit: Edit, picture: np.ndarray) -> tuple[int, int]:
    """Which of the right answers a picture is nearest to, and how many of its pixels are wrong."""
    answers = [draw(scene) for scene in edit.outcomes]
    nearest = int(np.argmin([np.square(picture.astype(np.float32) - answer).mean() for answer in answers]))
    return nearest, int((difference(picture, answers[nearest]) > WRONG).sum())


def make(rank: int, parts: int, args: argparse.Namespace) -> None:
    """The share of one process: every edit whose number leaves `rank`."""
    torch.set_num_threads(1)
    shape = Shape.of_folder(args.model)
    modules = build(shape, 0)
    modules.load_state_dict(read_folder(args.model, shape))
    modules.to(PRODUCTS)
    modules["transformer"].compile()
    encoder, chances = Encoder(args.model), chances_of_kinds(args.kinds)
    numbers = range(rank, args.count, parts)
    latents, compared = torch.empty(len(numbers), 16, 16, 16), torch.zeros(len(numbers), 2, dtype=torch.int64)
    begin = time.monotonic()
    for start in range(0, len(numbers), TOGETHER):
        tasks = [edit_of(args.seed, number, chances, args.held_out) for number in numbers[start : start + TOGETHER]]
        made = dict(make_tokens(modules, encoder, tasks, args.steps, args.seed * 1009 + numbers[start]))
        tokens = torch.stack([made[place] for place in range(len(tasks))])
        latents[start : start + len(tasks)] = unpack(tokens) / encoder.scale + encoder.shift
        pictures = np.concatenate([encoder.decode(part) for part in tokens.split(DECODED_TOGETHER)])
        for place, (edit, picture) in enumerate(zip(tasks, pictures, strict=True), start):
            compared[place] = torch.tensor(compare(edit, picture))
        if rank == 0:
            done = start + len(tasks)
            print(f"{parts * done} of {args.count}, {parts * done / (time.monotonic() - begin):.1f} a second", flush=True)
    answers, wrong = compared.unbind(1)
    torch.save({"latents": latents, "answers": answers, "wrong": wrong}, args.out.with_suffix(f".{rank}"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--kinds", type=Path, help="JSON file with weights of kinds of edits")
    parser.add_argument("--held-out", action="store_true", help="of combinations that training never sees, to measure with")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(make, (args.processes, args), nprocs=args.processes)
    parts = [torch.load(args.out.with_suffix(f".{rank}")) for rank in range(args.processes)]
    whole = {name: torch.empty(args.count, *parts[0][name].shape[1:], dtype=parts[0][name].dtype) for name in parts[0]}
    for rank, part in enumerate(parts):
        for name, values in part.items():
            whole[name][rank :: args.processes] = values
        args.out.with_suffix(f".{rank}").unlink()
    chances = chances_of_kinds(args.kinds).tolist()
    torch.save(whole | {"seed": args.seed, "chances": chances, "held_out": args.held_out}, args.out)


if __name__ == "__main__":
    main()
