"""Lets a model make latents: what the decoder gets in earnest is not what the encoder makes.

    python -m train.demo.own_latents_make models/demo .cache/train-runs/own.pt --count 16000 --kinds train/kinds-fifth.json
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch

from train.demo import edits
from train.demo.draw import draw
from train.demo.edits import Edit
from train.demo.flow import build
from train.demo.judge import difference, nearest_first
from train.demo.names import read_folder
from train.demo.networks import Shape
from train.demo.number_format import PRODUCTS
from train.demo.own_latents import WRONG, edit_of
from train.demo.pool import Encoder
from train.demo.sampling import make_tokens

TOGETHER = 256  # edits of which those with as many references share a pass


def chances_of_kinds(weights_file: Path | None) -> np.ndarray:
    """Of every kind, by its weight; a JSON file may give other weights."""
    weights = edits.kind_weights(weights_file)
    chances = np.array([weights[kind.name] for kind in edits.KINDS])
    return chances / chances.sum()


def compare(edit: Edit, picture: np.ndarray) -> tuple[int, int]:
    """Which of the right answers a picture is nearest to, and how many of its pixels are wrong."""
    answers = [draw(scene) for scene in edit.outcomes]
    nearest = nearest_first(picture, answers)[0]
    return nearest, int((difference(picture, answers[nearest]) > WRONG).sum())


def make(rank: int, args: argparse.Namespace, latents: torch.Tensor, compared: torch.Tensor) -> None:
    """The share of one process, of every edit whose number leaves `rank`: rows of what all processes fill."""
    torch.set_num_threads(1)
    shape = Shape.of_folder(args.model)
    modules = build(shape, 0)
    modules.load_state_dict(read_folder(args.model, shape))
    modules.to(PRODUCTS)
    modules["transformer"].compile()
    encoder, chances = Encoder(args.model), chances_of_kinds(args.kinds)
    numbers = range(rank, args.count, args.processes)
    begin = time.monotonic()
    for start in range(0, len(numbers), TOGETHER):
        some = numbers[start : start + TOGETHER]
        tasks = [edit_of(args.seed, number, chances, args.held_out) for number in some]
        tokens = make_tokens(modules, encoder, tasks, args.steps, args.seed * 1009 + some[0])
        latents[list(some)] = encoder.latents(tokens)
        results = [compare(*pair) for pair in zip(tasks, encoder.decode(tokens), strict=True)]
        compared[list(some)] = torch.tensor(results)
        if rank == 0:
            done = min(args.count, args.processes * (start + len(some)))
            print(f"{done} of {args.count}, {done / (time.monotonic() - begin):.1f} a second", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=16000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--kinds", type=Path, help="JSON file with weights of kinds of edits")
    parser.add_argument("--held-out", action="store_true", help="of combinations that training never sees, to measure with")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    if args.kinds and not args.kinds.exists():
        parser.error(f"--kinds {args.kinds}: there is no such file")
    chances = chances_of_kinds(args.kinds).tolist()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    latents = torch.empty(args.count, 16, 16, 16).share_memory_()
    compared = torch.zeros(args.count, 2, dtype=torch.int64).share_memory_()
    torch.multiprocessing.spawn(make, (args, latents, compared), nprocs=args.processes)
    answers, wrong = compared.unbind(1)
    made = {"latents": latents, "answers": answers, "wrong": wrong}
    torch.save(made | {"seed": args.seed, "chances": chances, "held_out": args.held_out}, args.out.with_suffix(".part"))
    args.out.with_suffix(".part").replace(args.out)


if __name__ == "__main__":
    main()
