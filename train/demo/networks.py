"""The transformer of the demo model, laid out for fast training on a processor.

The arithmetic is that of FLUX.1 Kontext; the storage differs from the public packages in three ways, and `names.py`
converts both ways. Matrices that read the same input are one matrix (q, k, v and, in the single blocks, the first MLP
matrix). Every block matrix is a stack of squares of the model's width: those that widen as [out, in], those that narrow
as [in, out]. The features of a query or key head are ordered for a rotation of halves instead of adjacent pairs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GUIDANCE = 2.5
TEXT_TOKENS = 32
LATENT_SIDE = 8
TARGET_TOKENS = LATENT_SIDE * LATENT_SIDE


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of the networks."""

    width: int = 192
    head: int = 32
    axes: tuple[int, int, int] = (8, 12, 12)
    double: int = 2
    single: int = 6
    latent: int = 64
    t5_width: int = 128
    t5_layers: int = 2
    t5_heads: int = 4
    t5_mlp: int = 256
    t5_vocabulary: int = 384
    clip_width: int = 64
    clip_layers: int = 2
    clip_heads: int = 2
    clip_mlp: int = 256
    clip_vocabulary: int = 848
    clip_tokens: int = 32

    @property
    def heads(self) -> int:
        """Attention heads of the transformer."""
        return self.width // self.head

    @classmethod
    def of_folder(cls, model: Path) -> Shape:
        """The shape for the vocabularies of a model folder."""
        pieces = json.loads((model / "tokenizer_2" / "tokenizer.json").read_text())["model"]["vocab"]
        tokens = json.loads((model / "tokenizer" / "vocab.json").read_text())
        return cls(t5_vocabulary=-(-len(pieces) // 32) * 32, clip_vocabulary=len(tokens))


class Narrow(nn.Module):
    """A linear layer whose matrix is stored as [in, out]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x W + b, in the layer's own number format."""
        flat = x.to(self.weight.dtype).flatten(0, -2)
        return torch.addmm(self.bias, flat, self.weight).unflatten(0, x.shape[:-1])


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form, written with the logistic function (the same number, fewer operations)."""
    return x * torch.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer(x)` in the layer's own number format."""
    return F.linear(x.to(layer.weight.dtype), layer.weight, layer.bias)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without parameters, then scale and shift for each sample."""
    return F.layer_norm(x.float(), x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates the pairs (i, i + D/2) of the last axis."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """Root-mean-square norm over the last axis, in f32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight.float()


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of [B,H,S,D] with q scaled already; written out, since the fused one has a slow backward pass."""
    weights = torch.softmax((q @ k.transpose(-1, -2)).float(), -1).to(v.dtype)
    return (weights @ v).transpose(1, 2).flatten(2)


class Heads(nn.Module):
    """Norms of the query and key heads of one stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.count, self.size = shape.heads, shape.head
        self.q = nn.Parameter(torch.ones(shape.head))
        self.k = nn.Parameter(torch.ones(shape.head))

    def split(self, x: Tensor) -> Tensor:
        """[B,S,C] to [B,H,S,D]."""
        return x.unflatten(-1, (self.count, self.size)).transpose(1, 2)

    def query(self, x: Tensor) -> Tensor:
        """Normed queries, scaled for the softmax."""
        return rms_norm(self.split(x), self.q) * self.size**-0.5

    def key(self, x: Tensor) -> Tensor:
        """Normed keys."""
        return rms_norm(self.split(x), self.k)


class Stream(nn.Module):
    """One stream (picture or text) of a double block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.heads = Heads(shape)
        self.project = nn.Linear(width, width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = Narrow(4 * width, width)

    def before(self, x: Tensor, mod: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of this stream; no positions yet."""
        shift, scale = mod.chunk(6, -1)[:2]
        q, k, v = linear(self.qkv, modulate(x, shift, scale)).chunk(3, -1)
        return self.heads.query(q), self.heads.key(k), self.heads.split(v)

    def after(self, x: Tensor, mod: Tensor, attended: Tensor) -> Tensor:
        """The stream after attention and MLP."""
        _, _, gate1, shift, scale, gate2 = mod.chunk(6, -1)
        x = x + gate1[:, None] * linear(self.project, attended).float()
        hidden = gelu(linear(self.mlp_in, modulate(x, shift, scale)).float())
        return x + gate2[:, None] * self.mlp_out(hidden).float()


class DoubleBlock(nn.Module):
    """Two streams with joint attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.image = Stream(shape)
        self.text = Stream(shape)

    def forward(self, image: Tensor, text: Tensor, act: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """New picture and text tokens; `cos` and `sin` cover the picture tokens, the text is not rotated."""
        dtype, length = self.image.qkv.weight.dtype, text.shape[1]
        mod_image = linear(self.image.modulation, act).float()
        mod_text = linear(self.text.modulation, act).float()
        qi, ki, vi = self.image.before(image, mod_image)
        qt, kt, vt = self.text.before(text, mod_text)
        q = torch.cat((qt.to(dtype), rotate(qi, cos, sin).to(dtype)), 2)
        k = torch.cat((kt.to(dtype), rotate(ki, cos, sin).to(dtype)), 2)
        attended = attention(q, k, torch.cat((vt, vi), 2))
        return (
            self.image.after(image, mod_image, attended[:, length:]),
            self.text.after(text, mod_text, attended[:, :length]),
        )


class SingleBlock(nn.Module):
    """One stream of text, target and reference tokens; attention and MLP side by side."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.modulation = nn.Linear(width, 3 * width)
        self.first = nn.Linear(width, 7 * width)
        self.heads = Heads(shape)
        self.second = Narrow(5 * width, width)

    def forward(self, x: Tensor, act: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """The tokens after the block."""
        dtype, width = self.first.weight.dtype, x.shape[-1]
        shift, scale, gate = linear(self.modulation, act).float().chunk(3, -1)
        q, k, v, hidden = linear(self.first, modulate(x, shift, scale)).split([width, width, width, 4 * width], -1)
        q = rotate(self.heads.query(q), cos, sin).to(dtype)
        k = rotate(self.heads.key(k), cos, sin).to(dtype)
        hidden = gelu(hidden.float()).to(dtype)
        both = torch.cat((attention(q, k, self.heads.split(v)), hidden), -1)
        return x + gate[:, None] * self.second(both).float()

    def forward_target(self, x: Tensor, act: Tensor, cos: Tensor, sin: Tensor, rows: slice) -> Tensor:
        """The last block: only the results of `rows`, the target; the rest serves as keys and values."""
        dtype, width = self.first.weight.dtype, x.shape[-1]
        shift, scale, gate = linear(self.modulation, act).float().chunk(3, -1)
        normed = modulate(x, shift, scale).to(dtype)
        weight, bias = self.first.weight, self.first.bias
        k, v = F.linear(normed, weight[width : 3 * width], bias[width : 3 * width]).chunk(2, -1)
        target = normed[:, rows]
        q = F.linear(target, weight[:width], bias[:width])
        hidden = F.linear(target, weight[3 * width :], bias[3 * width :])
        q = rotate(self.heads.query(q), cos[..., rows, :], sin[..., rows, :]).to(dtype)
        k = rotate(self.heads.key(k), cos, sin).to(dtype)
        hidden = gelu(hidden.float()).to(dtype)
        both = torch.cat((attention(q, k, self.heads.split(v)), hidden), -1)
        return x[:, rows] + gate[:, None] * self.second(both).float()


class Embedder(nn.Module):
    """Two layers with SiLU between, for time, guidance and pooled text."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The embedding, in f32."""
        return linear(self.second, F.silu(linear(self.first, x).float())).float()


def sinusoid(value: Tensor) -> Tensor:
    """256 features of 1000 times a number: cosines, then sines."""
    rates = torch.exp(torch.arange(128, dtype=torch.float32) * (-math.log(10000) / 128))
    angle = 1000 * value.float()[:, None] * rates
    return torch.cat((angle.cos(), angle.sin()), -1)


class Transformer(nn.Module):
    """The rectified-flow transformer. Tokens: text, target, references."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.shape = shape
        self.image_in = nn.Linear(shape.latent, width)
        self.text_in = nn.Linear(shape.t5_width, width)
        self.time = Embedder(256, width)
        self.guidance = Embedder(256, width)
        self.pooled = Embedder(shape.clip_width, width)
        self.doubles = nn.ModuleList(DoubleBlock(shape) for _ in range(shape.double))
        self.singles = nn.ModuleList(SingleBlock(shape) for _ in range(shape.single))
        self.final_modulation = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, shape.latent)

    def condition(self, t: Tensor, pooled: Tensor) -> Tensor:
        """The activation that all modulations read."""
        guidance = torch.full_like(t, GUIDANCE)
        total = self.time(sinusoid(t)) + self.guidance(sinusoid(guidance)) + self.pooled(pooled)
        return F.silu(total)

    def forward(
        self, tokens: Tensor, text: Tensor, pooled: Tensor, t: Tensor, cos: Tensor, sin: Tensor, targets: int
    ) -> Tensor:
        """Velocity of the target tokens, which are the first `targets` of `tokens` [B,N,64].

        text [B,T,*]; cos and sin [B or 1,1,N,pairs] turn the picture tokens, the text has no position.
        """
        act = self.condition(t, pooled)
        image, words = linear(self.image_in, tokens).float(), linear(self.text_in, text).float()
        for block in self.doubles:
            image, words = block(image, words, act, cos, sin)
        length = words.shape[1]
        x = torch.cat((words, image), 1)
        cos, sin = (F.pad(part, (0, 0, length, 0), value=fill) for part, fill in ((cos, 1.0), (sin, 0.0)))
        for block in self.singles[:-1]:
            x = block(x, act, cos, sin)
        x = self.singles[-1].forward_target(x, act, cos, sin, slice(length, length + targets))
        scale, shift = linear(self.final_modulation, act).float().chunk(2, -1)
        return linear(self.final, modulate(x, shift, scale)).float()

    def compile(self) -> None:  # type: ignore[override]
        """Compiles the block types, once for all shapes."""
        for block in [*self.doubles, *self.singles[:-1]]:
            block.compile(dynamic=True)
        last = self.singles[-1]
        last.forward_target = torch.compile(last.forward_target, dynamic=True)

    def initialise(self, generator: torch.Generator) -> None:
        """Random matrices; modulations zero with open gates; the last layer zero."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, Narrow)):
                fan_in = module.in_features if isinstance(module, nn.Linear) else module.weight.shape[0]
                nn.init.normal_(module.weight, std=0.7 / math.sqrt(fan_in), generator=generator)
                nn.init.zeros_(module.bias)
        width = self.shape.width
        for stream in [part for block in self.doubles for part in (block.image, block.text)]:
            nn.init.zeros_(stream.modulation.weight)
            for gate in (2, 5):
                nn.init.constant_(stream.modulation.bias[gate * width : (gate + 1) * width], 0.3)
        for block in self.singles:
            nn.init.zeros_(block.modulation.weight)
            nn.init.constant_(block.modulation.bias[2 * width :], 0.3)
        for layer in (self.final, self.final_modulation):
            nn.init.zeros_(layer.weight)


def rotations(positions: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines [...,1,N,pairs] of positions [...,N,3]."""
    parts = []
    for axis, size in enumerate(shape.axes):
        rates = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        parts.append(positions[..., axis, None].double() * rates)
    angle = torch.cat(parts, -1).unsqueeze(-3)
    return angle.cos().float(), angle.sin().float()


def token_positions(references: int) -> Tensor:
    """Positions [1+references,64,3] of the tokens of target and references, by the rule of offsets."""
    y, x = torch.meshgrid(torch.arange(LATENT_SIDE), torch.arange(LATENT_SIDE), indexing="ij")
    y, x = y.flatten(), x.flatten()
    out = [torch.stack((torch.zeros_like(y), y, x), -1)]
    height = width = 0
    for _ in range(references):
        down, right = (0, width) if LATENT_SIDE + height > LATENT_SIDE + width else (height, 0)
        height, width = max(height, LATENT_SIDE + down), max(width, LATENT_SIDE + right)
        out.append(torch.stack((torch.ones_like(y), y + down, x + right), -1))
    return torch.stack(out).float()
