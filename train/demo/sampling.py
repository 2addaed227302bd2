"""Makes pictures with a model in PyTorch, as the program does: Euler steps over the shifted schedule."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from train.demo.draw import draw
from train.demo.edits import Edit
from train.demo.networks import TARGET_TOKENS, rotations, token_positions
from train.demo.pool import Encoder

SHIFT_SLOPE = (1.15 - 0.5) / (4096 - 256)


def schedule(steps: int) -> list[float]:
    """Noise levels from 1 to 0, shifted for a target of 64 tokens."""
    shift = math.exp(SHIFT_SLOPE * TARGET_TOKENS + 0.5 - 256 * SHIFT_SLOPE)
    times = [1 - k / steps for k in range(steps)]
    return [shift / (shift + (1 / t - 1)) for t in times] + [0.0]


@torch.no_grad()
def sample(
    modules: nn.ModuleDict, references: Tensor, ids: tuple[Tensor, Tensor], noise: Tensor, steps: int
) -> Tensor:
    """Target tokens [B,64,64] for reference tokens [B,R,64,64] and T5 and CLIP ids [B,32]."""
    words, pooled = modules["text"](*ids)
    cos, sin = rotations(token_positions(references.shape[1]).flatten(0, 1)[None], modules["transformer"].shape)
    levels, x = schedule(steps), noise
    for level, following in zip(levels, levels[1:]):
        tokens = torch.cat((x, references.flatten(1, 2)), 1)
        t = torch.full((len(x),), level)
        x = x + (following - level) * modules["transformer"](tokens, words, pooled, t, cos, sin, TARGET_TOKENS)
    return x


def make_tokens(modules: nn.ModuleDict, encoder: Encoder, edits: list[Edit], steps: int, seed: int) -> Tensor:
    """Target tokens [n,64,64] for every edit; those with as many references go together."""
    out = torch.empty(len(edits), TARGET_TOKENS, 64)
    generator = torch.Generator().manual_seed(seed)
    for references in sorted({len(edit.references) for edit in edits}):
        places = [i for i, edit in enumerate(edits) if len(edit.references) == references]
        for start in range(0, len(places), 16):
            chunk = places[start : start + 16]
            drawn = [draw(scene) for i in chunk for scene in edits[i].references]
            tokens = encoder.pictures(np.stack(drawn)) if drawn else torch.zeros(0, TARGET_TOKENS, 64)
            tokens = tokens.view(len(chunk), references, TARGET_TOKENS, 64)
            prompts = [encoder.prompt(edits[i].prompt) for i in chunk]
            ids = torch.tensor([p[0] for p in prompts]), torch.tensor([p[1] for p in prompts])
            noise = torch.randn(len(chunk), TARGET_TOKENS, 64, generator=generator)
            out[chunk] = sample(modules, tokens, ids, noise, steps)
    return out


def make_pictures(modules: nn.ModuleDict, encoder: Encoder, edits: list[Edit], steps: int, seed: int) -> list[np.ndarray]:
    """A picture for every edit."""
    return list(encoder.decode(make_tokens(modules, encoder, edits, steps, seed)))
