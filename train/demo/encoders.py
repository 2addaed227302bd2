"""The two text encoders of the demo model: a T5 encoder for the words, a CLIP text model for the pooled vector."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.demo.networks import Shape, gelu, linear, rms_norm

T5_BUCKETS = 32
T5_DISTANCE = 128
NEIGHBOURS = (-1, 1, -2)  # offsets at which the first heads look at the start
NEIGHBOUR_BIAS = 4.0


def position_buckets(length: int) -> Tensor:
    """T5's bucket of every pair (query, key): exact up to 7, then logarithmic up to 128; later keys add 16."""
    offset = torch.arange(length)[None] - torch.arange(length)[:, None]
    half, exact = T5_BUCKETS // 2, T5_BUCKETS // 4
    distance = offset.abs()
    far = exact + (torch.log(distance.clamp(min=1) / exact) / math.log(T5_DISTANCE / exact) * exact).long()
    return (offset > 0) * half + torch.where(distance < exact, distance, far.clamp(max=half - 1))


class T5Layer(nn.Module):
    """Self-attention without scaling, then the gated MLP."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.t5_width
        self.heads = shape.t5_heads
        self.norm1, self.norm2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * shape.t5_mlp, bias=False)
        self.down = nn.Linear(shape.t5_mlp, width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """The tokens after the layer; `bias` [H,T,T] is added to the scores."""
        q, k, v = linear(self.qkv, rms_norm(x, self.norm1)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        weights = torch.softmax((q @ k.transpose(-1, -2)).float() + bias, -1).to(v.dtype)
        x = x + linear(self.out, (weights @ v).transpose(1, 2).flatten(2)).float()
        gate, up = linear(self.gate_up, rms_norm(x, self.norm2)).float().chunk(2, -1)
        return x + linear(self.down, gelu(gate) * up).float()


class T5(nn.Module):
    """The encoder; padding takes part like any token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(shape.t5_vocabulary, shape.t5_width))
        self.bias = nn.Parameter(torch.zeros(T5_BUCKETS, shape.t5_heads))
        self.layers = nn.ModuleList(T5Layer(shape) for _ in range(shape.t5_layers))
        self.norm = nn.Parameter(torch.ones(shape.t5_width))

    def forward(self, ids: Tensor) -> Tensor:
        """[B,T] to [B,T,width]."""
        x = F.embedding(ids, self.embedding).float()
        bias = self.bias.float()[position_buckets(ids.shape[1])].permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x, bias)
        return rms_norm(x, self.norm)

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights, and heads that look at neighbours; the scores have no scaling, so q is drawn smaller."""
        nn.init.normal_(self.embedding, generator=generator)
        buckets = position_buckets(4)
        for head, offset in enumerate(NEIGHBOURS):
            self.bias[buckets[2, 2 + offset], head] = NEIGHBOUR_BIAS
        for layer in self.layers:
            for part in (layer.qkv, layer.out, layer.gate_up, layer.down):
                nn.init.normal_(part.weight, std=0.7 / math.sqrt(part.in_features), generator=generator)
            head = layer.out.in_features // layer.heads
            layer.qkv.weight[: layer.out.in_features].mul_(head**-0.5)


class ClipLayer(nn.Module):
    """Causal self-attention and MLP with layer norms before them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.clip_width
        self.heads = shape.clip_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, shape.clip_mlp)
        self.down = nn.Linear(shape.clip_mlp, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The tokens after the layer; `mask` [T,T] is added to the scores."""
        q, k, v = linear(self.qkv, norm(self.norm1, x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5 + mask
        x = x + linear(self.out, (torch.softmax(scores, -1).to(v.dtype) @ v).transpose(1, 2).flatten(2)).float()
        hidden = linear(self.up, norm(self.norm2, x)).float()
        return x + linear(self.down, hidden * torch.sigmoid(1.702 * hidden)).float()


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """A layer norm with its weights, in f32."""
    return F.layer_norm(x.float(), layer.normalized_shape, layer.weight.float(), layer.bias.float(), layer.eps)


class Clip(nn.Module):
    """The CLIP text model up to its pooled vector (the final state of the first end token)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(shape.clip_vocabulary, shape.clip_width))
        self.positions = nn.Parameter(torch.zeros(shape.clip_tokens, shape.clip_width))
        self.layers = nn.ModuleList(ClipLayer(shape) for _ in range(shape.clip_layers))
        self.norm = nn.LayerNorm(shape.clip_width)

    def forward(self, ids: Tensor) -> Tensor:
        """[B,T] to [B,width]; the end token has the largest id."""
        length = ids.shape[1]
        x = F.embedding(ids, self.embedding).float() + self.positions[:length].float()
        mask = torch.full((length, length), float("-inf")).triu(1)
        for layer in self.layers:
            x = layer(x, mask)
        return norm(self.norm, x)[torch.arange(len(ids)), ids.argmax(-1)]

    def initialise(self, generator: torch.Generator) -> None:
        """Random weights."""
        nn.init.normal_(self.embedding, std=0.5, generator=generator)
        nn.init.normal_(self.positions, std=0.1, generator=generator)
        for layer in self.layers:
            for part in (layer.qkv, layer.out, layer.up, layer.down):
                nn.init.normal_(part.weight, std=0.7 / math.sqrt(part.in_features), generator=generator)
                nn.init.zeros_(part.bias)


class TextEncoders(nn.Module):
    """Both encoders."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.t5, self.clip = T5(shape), Clip(shape)

    def forward(self, t5_ids: Tensor, clip_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Word features and pooled vector."""
        return self.t5(t5_ids), self.clip(clip_ids)
