"""Chains of edits: the result of each is the reference of the next. Tells how far the untouched region drifts.

    python -m train.demo.chain build/kontext models/demo --chains 20

A chain is three edits of different kinds, none of which changes the background; the right answer of each is a combination
that training never sees. The untouched region is where none of the three changes a pixel, the same after each; its PSNR is
against the first reference. The judge holds every result against all that the chain asked for so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.demo.draw import draw
from train.demo.edits import Edit, attempt
from train.demo.evaluate import on_every_core, run_program
from train.demo.judge import KEPT_LIMIT, difference, judge, psnr
from train.demo.scenes import random_scene

KINDS = ("recolour_garment", "put_on_hat", "give_object", "ground_object", "smile", "hair_colour")  # makers that take a scene
LENGTH = 3


@dataclass(frozen=True)
class Link:
    """What one edit of a chain did."""

    untouched: float  # PSNR, dB
    ok: bool  # the judge finds all that was asked for so far, and nothing else


def try_chain(rng: np.random.Generator) -> list[Edit]:
    """Edits that follow each other; fewer than LENGTH if one does not suit."""
    scene, chain = random_scene(rng, hat=0, held=0), []
    for kind in rng.permutation(KINDS)[:LENGTH]:
        edit = attempt(str(kind), rng, True, scene)
        if edit is None:
            break
        chain.append(edit)
        scene = edit.target
    return chain


def make_chain(rng: np.random.Generator) -> list[Edit]:
    """A whole chain."""
    chain: list[Edit] = []
    while len(chain) < LENGTH:
        chain = try_chain(rng)
    return chain


def run_chain(program: Path, model: Path, chain: list[Edit], seed: int, options: Sequence[str]) -> list[Link]:
    """Runs the edits one after the other."""
    first = draw(chain[0].references[0])
    untouched = np.all([difference(first, draw(edit.target)) <= KEPT_LIMIT for edit in chain], axis=0)
    picture, links = first, []
    for edit in chain:
        picture, _ = run_program(program, model, edit.prompt, [picture], seed, options)
        links.append(Link(psnr(picture[untouched], first[untouched]), judge(picture, edit).ok))
    return links


def table(results: list[list[Link]]) -> str:
    """Markdown: a row for each length."""
    lines = ["| edits | untouched region, dB | worst chain, dB | right so far |", "| --- | --- | --- | --- |"]
    for k in range(LENGTH):
        values = [links[k].untouched for links in results]
        right = 100 * np.mean([links[k].ok for links in results])
        lines.append(f"| {k + 1} | {np.mean(values):.1f} | {min(values):.1f} | {right:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--chains", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--option", action="append", default=[], help="another argument for the program; repeatable")
    args = parser.parse_args()
    chains = [make_chain(np.random.default_rng((args.seed, number))) for number in range(args.chains)]
    options = ["--threads", "1", *args.option]
    print(table(on_every_core(lambda n: run_chain(args.program, args.model, chains[n], n, options), len(chains))))


if __name__ == "__main__":
    main()
