"""Encoded training samples: edits of the world, drawn, encoded by the VAE and tokenised, and batches of them.

A batch keeps only a part of the tokens of every picture. Most tokens of a flat cartoon are plain background, which is
learnt in minutes; tokens with edges, and target tokens that no reference shows at this place, are kept more often. Fewer
tokens mean more samples a second.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from tokenizers import Tokenizer
from torch import Tensor
from transformers import CLIPTokenizer

from train.demo import edits
from train.demo.draw import draw
from train.demo.networks import LATENT_SIDE, TARGET_TOKENS, TEXT_TOKENS, Shape, rotations, token_positions
from train.demo.number_format import PRODUCTS
from train.demo.vae import to_pictures, to_tensor

MAX_REFERENCES = 4
CAPACITY = (4096, 16384, 8192, 4096, 4096)  # samples of 0 to 4 references held by one process
CHANGED = 3.0  # mean difference of a token's pixels to every reference that counts as a change
EDGE = 12.0  # standard deviation of a token's pixels that counts as more than plain
FOLLOW = 4.0  # how much likelier a token of the first reference is kept where the target's is
ENCODED_TOGETHER = 8
ALL_WORDS = 0.3  # share of batches that keep all padding of the prompts
CHANGE_SHARE = 0.35  # of the loss that the changed tokens of a picture make up, as far as the two bounds allow
CHANGE_WEIGHTS = (3.0, 16.0)  # bounds of the weight of a changed target token against that of an unchanged one
TIE = 2.0  # right answers up to this many times as far (squared) as the nearest are a tie


class Encoder:
    """Pictures and prompts to tokens."""

    def __init__(self, model: Path) -> None:
        self.vae = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32).eval()
        self.vae.encoder.to(PRODUCTS)
        self.shift, self.scale = self.vae.config.shift_factor, self.vae.config.scaling_factor
        self.t5 = Tokenizer.from_file(str(model / "tokenizer_2" / "tokenizer.json"))
        self.clip = CLIPTokenizer.from_pretrained(model / "tokenizer")

    @torch.no_grad()
    def pictures(self, pictures: np.ndarray) -> Tensor:
        """uint8 [n,128,128,3] to normalised tokens [n,64,64]."""
        x = to_tensor(pictures).to(PRODUCTS)
        parts = [self.vae.encoder(part)[:, :16] for part in x.split(ENCODED_TOGETHER)]
        mean = torch.cat(parts).float()
        return pack((mean - self.shift) * self.scale)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> np.ndarray:
        """Normalised tokens [n,64,64] to uint8 pictures."""
        parts = [to_pictures(self.vae.decode(part).sample) for part in self.latents(tokens).split(ENCODED_TOGETHER)]
        return np.concatenate(parts)

    def latents(self, tokens: Tensor) -> Tensor:
        """Normalised tokens [n,64,64] to latents [n,16,16,16] as the decoder takes them."""
        return unpack(tokens) / self.scale + self.shift

    def prompt(self, text: str) -> tuple[list[int], list[int]]:
        """T5 and CLIP ids, both of 32 tokens."""
        t5 = self.t5.encode(text).ids
        t5 = t5 if len(t5) <= TEXT_TOKENS else [*t5[: TEXT_TOKENS - 1], 1]
        clip = self.clip(text, padding="max_length", max_length=TEXT_TOKENS, truncation=True).input_ids
        return t5 + [0] * (TEXT_TOKENS - len(t5)), clip


def pack(latents: Tensor) -> Tensor:
    """[n,16,16,16] to tokens [n,64,64]: channel slowest, then row and column within the patch."""
    return latents.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor) -> Tensor:
    """The inverse of `pack`."""
    grid = tokens.unflatten(2, (16, 2, 2)).unflatten(1, (LATENT_SIDE, LATENT_SIDE))
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def patches(pictures: np.ndarray) -> np.ndarray:
    """uint8 [n,128,128,3] to f32 [n,64,16*16*3], in the order of the tokens."""
    n, side = len(pictures), LATENT_SIDE
    grid = pictures.reshape(n, side, 16, side, 16, 3).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(n, side * side, -1).astype(np.float32)


def importance(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chance weights [1+R,64] of keeping each token, and loss weights [64] of the target's.

    The first picture is the target.
    """
    cells = patches(pictures)
    busy = cells.reshape(*cells.shape[:2], -1, 3)[..., 1].std(2) > EDGE
    if len(pictures) > 1:
        changed = np.abs(cells[:1] - cells[1:]).mean(-1).min(0) > CHANGED
    else:
        changed = busy[0]
    keep = 1.0 + 4.0 * busy
    keep[0] += 4.0 * changed
    count = max(1, int(changed.sum()))
    weight = np.clip(CHANGE_SHARE / (1 - CHANGE_SHARE) * (TARGET_TOKENS - count) / count, *CHANGE_WEIGHTS)
    return keep.astype(np.float32), np.where(changed, weight, 1.0).astype(np.float32)


@dataclasses.dataclass
class Batch:
    """Inputs of one training pass; all samples have the same number of references."""

    target: Tensor  # [B,K,64]
    references: Tensor  # [B,R*K',64]
    weight: Tensor  # [B,K], mean 1
    t5: Tensor
    clip: Tensor
    words: int  # leading text tokens that the transformer sees; the rest is padding
    cos: Tensor  # [B,1,N,pairs]
    sin: Tensor
    answers: list[Tensor | None]  # of each sample with several right answers: those [n,K,64], in the order of its kind

    def nearest(self, guess: Tensor) -> Tensor:
        """The right answer [B,K,64] of each sample that is nearest to a guess.

        Of a tie the first counts: a guess between left and right, or red and orange, cannot say which, and noise that
        decides at random teaches the model to stay there.
        """
        nearest = self.target.clone()
        for row, answers in enumerate(self.answers):
            if answers is not None:
                distances = ((answers - guess[row]).square().mean(-1) * self.weight[row]).sum(1)
                nearest[row] = answers[(distances <= TIE * distances.min()).int().argmax()]
        return nearest


class Bucket:
    """Samples with one number of references, the oldest replaced first."""

    def __init__(self, references: int, shape: Shape) -> None:
        size, pictures = CAPACITY[references], 1 + references
        self.tokens = torch.zeros(size, pictures, TARGET_TOKENS, 64, dtype=torch.bfloat16)
        self.keep = torch.zeros(size, pictures, TARGET_TOKENS)
        self.weight = torch.zeros(size, TARGET_TOKENS)
        self.t5 = torch.zeros(size, TEXT_TOKENS, dtype=torch.int64)
        self.clip = torch.zeros(size, TEXT_TOKENS, dtype=torch.int64)
        self.answers: list[Tensor | None] = [None] * size
        self.cos, self.sin = (part[:, 0] for part in rotations(token_positions(references), shape))
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, len(self.tokens))

    def add(self, tokens: Tensor, rank: int, keep: np.ndarray, weight: np.ndarray, ids: tuple[list[int], list[int]]) -> None:
        """One sample: its target and references, then the other right answers, of which `rank` come before the target."""
        row, pictures = self.added % len(self.tokens), self.tokens.shape[1]
        self.tokens[row] = tokens[:pictures]
        first = pictures + rank
        answers = torch.cat((tokens[pictures:first], tokens[:1], tokens[first:])).bfloat16()
        self.answers[row] = answers if len(answers) > 1 else None
        self.keep[row] = torch.from_numpy(keep)
        self.weight[row] = torch.from_numpy(weight)
        self.t5[row], self.clip[row] = torch.tensor(ids[0]), torch.tensor(ids[1])
        self.added += 1

    def batch(self, size: int, kept: int, generator: torch.Generator) -> Batch:
        """Random samples with `kept` tokens of every picture."""
        rows = torch.randint(len(self), (size,), generator=generator)
        tokens, keep, weight = self.tokens[rows], self.keep[rows].log(), self.weight[rows]
        keys = keep - torch.empty_like(keep).exponential_(generator=generator).log()
        target = keys[:, 0].topk(kept).indices
        if keys.shape[1] > 1:
            follow = torch.zeros_like(keys[:, 1]).scatter_(1, target, float(np.log(FOLLOW)))
            keys[:, 1] += follow
        chosen = torch.cat((target[:, None], keys[:, 1:].topk(kept).indices), 1)
        picked = tokens.gather(2, chosen[..., None].expand(-1, -1, -1, 64)).float()
        which = torch.arange(keys.shape[1])[None, :, None]
        weight = weight.gather(1, target)
        words = int((self.t5[rows] != 0).sum(1).max())
        if torch.rand(1, generator=generator) < ALL_WORDS:
            words = TEXT_TOKENS
        return Batch(
            picked[:, 0],
            picked[:, 1:].flatten(1, 2),
            weight / weight.mean(1, keepdim=True).clamp(min=1e-6),
            self.t5[rows],
            self.clip[rows],
            words,
            self.cos[which, chosen].flatten(1, 2)[:, None],
            self.sin[which, chosen].flatten(1, 2)[:, None],
            [
                None if self.answers[row] is None else self.answers[row][:, places].float()
                for row, places in zip(rows.tolist(), target, strict=True)
            ],
        )


class Pool:
    """All buckets of one process, and their growth."""

    def __init__(self, encoder: Encoder, shape: Shape, seed: int, rank: int, weights: Path | None) -> None:
        self.encoder, self.seed, self.rank, self.weights_file = encoder, seed, rank, weights
        self.buckets = [Bucket(references, shape) for references in range(MAX_REFERENCES + 1)]
        self.count = 0

    def set_demand(self, demand: tuple[float, ...]) -> None:
        """Chances of the kinds, from the share of samples that training takes of each bucket.

        Within a bucket the kinds come by their weights, and the file of weights has the last word on those.
        """
        weights = edits.kind_weights(self.weights_file if self.weights_file and self.weights_file.exists() else None)
        totals = [0.0] * len(demand)
        for kind in edits.KINDS:
            totals[kind.references] += weights[kind.name]
        chances = np.array([weights[kind.name] * demand[kind.references] / totals[kind.references] for kind in edits.KINDS])
        self.chances = chances / chances.sum()

    def grow(self, samples: int) -> None:
        """Draws and encodes new samples; sample number n depends on the seed, the process and n alone."""
        pictures, records = [], []
        for _ in range(samples):
            rng = np.random.default_rng((self.seed, self.rank, self.count))
            self.count += 1
            edit = edits.make(edits.KINDS[rng.choice(len(edits.KINDS), p=self.chances)].name, rng)
            drawn = np.stack([draw(scene) for scene in (edit.target, *edit.references, *edit.alternatives)])
            count = len(edit.references)
            records.append((count, edit.rank, *importance(drawn[: 1 + count]), self.encoder.prompt(edit.prompt)))
            pictures.append(drawn)
        tokens = self.encoder.pictures(np.concatenate(pictures)).split([len(part) for part in pictures])
        for encoded, (references, *record) in zip(tokens, records, strict=True):
            self.buckets[references].add(encoded, *record)
