"""Latents that the flow model made, with the right answers, for the decoder to learn from (`own_latents_make.py`).

The file holds latents and numbers: edit number n depends on the seed and n alone, so its right answers are drawn again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from . import edits
from .draw import draw
from .edits import Edit

WRONG = 32  # of 255: a pixel that is off by more is wrong
MOST_WRONG = 300  # wrong pixels that count, at most: what lies elsewhere altogether no decoder can mend


def edit_of(seed: int, number: int, chances: np.ndarray, held_out: bool) -> Edit:
    """Edit `number` of a file."""
    rng = np.random.default_rng((seed, number))
    return edits.make(edits.KINDS[rng.choice(len(edits.KINDS), p=chances)].name, rng, held_out)


class OwnLatents:
    """The file, read: pairs of a latent and the picture that should come of it."""

    def __init__(self, path: Path) -> None:
        saved = torch.load(path, mmap=True)
        self.latents, self.answers = saved["latents"], saved["answers"]
        wrong = saved["wrong"].double().clamp(max=MOST_WRONG).numpy()
        self.shares = 0.5 / len(wrong) + 0.5 * wrong / wrong.sum()
        self.seed, self.chances, self.held_out = saved["seed"], np.array(saved["chances"]), saved["held_out"]

    def pick(self, count: int, rng: np.random.Generator) -> list[int]:
        """Numbers of edits: half of them evenly, half in proportion to the wrong pixels."""
        return rng.choice(len(self.shares), size=count, p=self.shares).tolist()

    def pair(self, number: int) -> tuple[torch.Tensor, np.ndarray]:
        """Latent [16,16,16], not normalised, and uint8 picture."""
        edit = edit_of(self.seed, number, self.chances, self.held_out)
        return self.latents[number], draw(edit.outcomes[int(self.answers[number])])
