"""Whether T5 is more than a table of words: sizes within it, and whether a noun knows the colour before it.

    python -m train.demo.t5_probe models/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.demo import edits
from train.demo.encoders import T5, position_buckets
from train.demo.flow import build
from train.demo.names import read_folder
from train.demo.networks import TEXT_TOKENS, Shape, linear, rms_norm
from train.demo.pool import Encoder
from train.demo.scenes import COLORS

PROMPTS = 3000
STEPS = 600
RATE = 1e-2


def root_mean_square(x: Tensor) -> float:
    """Of all values."""
    return float(x.square().mean().sqrt())


def show_sizes(t5: T5, ids: Tensor) -> None:
    """A line for each layer: what its attention and its MLP add to what is there, and how far its scores deviate."""
    x, real = t5.embedding[ids], ids != 0
    bias = t5.bias[position_buckets(TEXT_TOKENS)].permute(2, 0, 1)
    for number, layer in enumerate(t5.layers):
        q, k, v = linear(layer.qkv, rms_norm(x, layer.norm1)).unflatten(-1, (3, layer.heads, -1)).transpose(1, 3).unbind(2)
        scores = q @ k.transpose(-1, -2) + bias
        attended = linear(layer.out, (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2))
        after = layer(x, bias)
        sizes = [root_mean_square(part[real]) for part in (x, attended, after - x - attended)]
        deviations = " ".join(f"{float(part):.1f}" for part in scores.std((0, 2, 3)))
        print("layer {}: attention adds {:.2f} to {:.2f}, MLP {:.2f};".format(number, sizes[1], sizes[0], sizes[2]), end=" ")
        print(f"scores of its heads deviate by {deviations}")
        x = after


def nouns_after_colours(ids: Tensor, encoder: Encoder) -> tuple[Tensor, Tensor, Tensor]:
    """Row and place of each word after a colour, in prompts that name several, and the number of the colour."""
    colours = {}
    for number, name in enumerate(COLORS):
        pieces = (encoder.t5.token_to_id("\u2581" + word) for word in (name, name.capitalize()))
        colours |= {piece: number for piece in pieces if piece is not None}
    found = []
    for row, words in enumerate(ids.tolist()):
        places = [place for place, word in enumerate(words[:-1]) if word in colours]
        if len(places) > 1:
            found += [(row, place + 1, colours[words[place]]) for place in places]
    rows, places, numbers = (torch.tensor(column) for column in zip(*found, strict=True))
    return rows, places, numbers


def colour_known(features: Tensor, colours: Tensor) -> float:
    """Share of the last quarter of the words whose colour a linear map names that learnt from the others."""
    torch.manual_seed(0)
    names = nn.Linear(features.shape[1], len(COLORS))
    optimiser = torch.optim.Adam(names.parameters(), RATE)
    cut = len(features) * 3 // 4
    for _ in range(STEPS):
        optimiser.zero_grad()
        F.cross_entropy(names(features[:cut]), colours[:cut]).backward()
        optimiser.step()
    return float((names(features[cut:]).argmax(1) == colours[cut:]).float().mean())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="exported folder")
    args = parser.parse_args()
    shape, encoder = Shape.of_folder(args.model), Encoder(args.model)
    modules = build(shape, 0)
    modules.load_state_dict(read_folder(args.model, shape))
    t5 = modules["text"].t5
    made = [edits.make("text_to_picture", np.random.default_rng((5, number))) for number in range(PROMPTS)]
    ids = torch.tensor([encoder.prompt(edit.prompt)[0] for edit in made])
    with torch.no_grad():
        show_sizes(t5, ids[:200])
        out = torch.cat([t5(part) for part in ids.split(250)])
    rows, places, colours = nouns_after_colours(ids, encoder)
    print(f"colour known at {100 * colour_known(out[rows, places], colours):.1f} % of the words after one (chance: {100 / len(COLORS):.0f} %)")


if __name__ == "__main__":
    main()
