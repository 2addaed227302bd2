"""Puts a fresh T5 encoder into an exported model: it gives what the old one gives, and knows each word's neighbours.

    python -m train.demo.renew_t5 models/demo

A T5 trained too fast becomes a table of words: what its first MLP adds is a hundred times what attention brought, the
scores of its second layer saturate, and no gradient tells either of them anything any more. Then a colour is not bound to
the word after it. The fresh encoder begins with heads that look at neighbours and learns from prompts alone, in minutes:
to be near to the old one's output, and that two linear maps of its output name the word before and the word after.
Training of the whole (`flow.py --from`) goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.demo import edits
from train.demo.encoders import T5
from train.demo.export import export
from train.demo.flow import build
from train.demo.names import read_folder
from train.demo.networks import Shape
from train.demo.pool import Encoder

PROMPTS = 12_000
BATCH = 64
RATE = 2e-3
DECAY = 0.05
NEIGHBOUR_SHARE = 0.05  # weight of the neighbours' cross-entropy beside the relative squared error


def prompts(encoder: Encoder, count: int, seed: int) -> Tensor:
    """Ids [count,32] of prompts of all kinds; a third have no reference, where words alone say everything."""
    weights = np.array([kind.weight for kind in edits.KINDS], dtype=float)
    weights /= weights.sum()
    alone = np.array([kind.references == 0 for kind in edits.KINDS], dtype=float)
    chances = 2 / 3 * weights + 1 / 3 * alone / alone.sum()
    rows = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        edit = edits.make(edits.KINDS[rng.choice(len(chances), p=chances)].name, rng)
        rows.append(encoder.prompt(edit.prompt)[0])
    return torch.tensor(rows)


def renew(old: T5, ids: Tensor, shape: Shape, steps: int, seed: int) -> T5:
    """Trains the fresh encoder."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    fresh = T5(shape)
    with torch.no_grad():
        fresh.initialise(generator)
        fresh.embedding.copy_(old.embedding)
        target = torch.cat([old(part) for part in ids.split(500)])
        fresh.norm.fill_(float(target.square().mean().sqrt()))
    names = nn.ModuleList(nn.Linear(shape.t5_width, shape.t5_vocabulary) for _ in range(2))
    optimiser = torch.optim.AdamW([*fresh.parameters(), *names.parameters()], RATE, betas=(0.9, 0.98), weight_decay=DECAY)
    power = target.square().mean()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 100) * (1 - step / steps)
        rows = torch.randint(len(ids), (BATCH,), generator=generator)
        words, out = ids[rows], fresh(ids[rows])
        error = (out - target[rows]).square().mean() / power
        real = words[:, 1:] != 0  # pairs of neighbours
        before = F.cross_entropy(names[0](out[:, 1:][real]), words[:, :-1][real])
        after = F.cross_entropy(names[1](out[:, :-1][real]), words[:, 1:][real])
        optimiser.zero_grad()
        (error + NEIGHBOUR_SHARE * (before + after)).backward()
        optimiser.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step} error {error.item():.4f} before {before.item():.3f} after {after.item():.3f}", flush=True)
    return fresh


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="exported folder; its T5 encoder is replaced")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shape = Shape.of_folder(args.model)
    modules = build(shape, args.seed)
    modules.load_state_dict(read_folder(args.model, shape))
    ids = prompts(Encoder(args.model), PROMPTS, args.seed)
    modules["text"].t5 = renew(modules["text"].t5, ids, shape, args.steps, args.seed)
    export(modules.state_dict(), args.model, shape)


if __name__ == "__main__":
    main()
