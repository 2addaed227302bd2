"""What int8 costs in error, layer by layer, and what scales, a rotation or a smoothing change.

    python -m train.demo.outliers                     # the model in models/demo, then invented numbers with heavy tails

Both operands of a product are rounded to int8 as the program rounds them, and the sums are taken in f32. Schemes:

    whole       one scale for each row of x and each column of y
    group       one for each 512 values of K besides
    rotated     `group`, after each group of both operands was given other signs and multiplied with a Hadamard matrix, as
                the program does it (the idea: Ashkboos et al., QuaRot, 2024)
    smoothed    `group`, after x / s and W s with s_k = sqrt(max |x_k| / max |W_k|) (Xiao et al., SmoothQuant, 2022), taken
                from the very activations that are measured, the best case for it
    unsigned    `rotated` with the signs left as they are
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.demo import edits, networks
from train.demo.draw import draw
from train.demo.encoders import TextEncoders
from train.demo.names import read_folder
from train.demo.networks import TARGET_TOKENS, Narrow, Shape, Transformer, rotations, token_positions
from train.demo.pool import Encoder

GROUP = 512
KINDS = ("recolour_garment", "give_object", "named_background", "style")
SCHEMES = ("whole", "group", "rotated", "smoothed")


def signs(size: int) -> Tensor:
    """The Rudin-Shapiro sequence."""
    return torch.tensor([-1.0 if (k & k >> 1).bit_count() % 2 else 1.0 for k in range(size)])


def groups(depth: int, split: int) -> list[int]:
    """Sizes of the groups of K values of which the first `split` come from another product."""
    return [min(GROUP, end - k) for begin, end in ((0, split), (split, depth)) for k in range(begin, end, GROUP)]


def rounded(x: Tensor, sizes: list[int]) -> Tensor:
    """Rows of x rounded to 255 levels, with a scale for each row and each group of its values."""
    parts = x.split(sizes, -1)
    scales = [part.abs().amax(-1, keepdim=True).clamp(min=1e-36) / 127 for part in parts]
    return torch.cat([(part / scale).round() * scale for part, scale in zip(parts, scales)], -1)


def rotate(x: Tensor, sizes: list[int], signed: bool = True) -> Tensor:
    """Each group of x times the largest Hadamard matrix whose size divides it, so that products stay what they are."""
    parts = []
    for part in x.split(sizes, -1):
        size = part.shape[-1] & -part.shape[-1]
        y = part.unflatten(-1, (-1, size))
        y = y * signs(size) if signed else y
        step = 1
        while step < size:
            y = y.unflatten(-1, (-1, 2, step))
            y = torch.stack((y[..., 0, :] + y[..., 1, :], y[..., 0, :] - y[..., 1, :]), -2).flatten(-3)
            step *= 2
        parts.append(y.flatten(-2) / math.sqrt(size))
    return torch.cat(parts, -1)


def product(x: Tensor, weight: Tensor, scheme: str, split: int = 0) -> Tensor:
    """x W^T of x [..., K] and W [N, K] in int8."""
    x, weight, depth = x.float(), weight.float(), x.shape[-1]
    sizes = [depth] if scheme == "whole" else groups(depth, split)
    if scheme in ("rotated", "unsigned"):
        x, weight = (rotate(part, sizes, scheme == "rotated") for part in (x, weight))
    if scheme == "smoothed":
        scale = (x.flatten(0, -2).abs().amax(0) / weight.abs().amax(0).clamp(min=1e-9)).sqrt().clamp(min=1e-5)
        x, weight = x / scale, weight * scale
    return rounded(x, sizes) @ rounded(weight, sizes).T


def error(y: Tensor, exact: Tensor) -> float:
    """|y - exact| / |exact|."""
    return float((y - exact).norm() / exact.norm())


class Int8:
    """Makes chosen layers of a model round their operands, and keeps what each layer read."""

    def __init__(self, model: nn.Module, scheme: str, chosen: Callable[[str], bool]) -> None:
        self.errors: dict[str, float] = {}
        self.tails: dict[str, float] = {}
        self.scheme, self.linear, self.narrow = scheme, F.linear, Narrow.forward
        self.names = {id(module.weight): name for name, module in model.named_modules() if hasattr(module, "bias")}
        self.chosen = chosen

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None, name: str) -> Tensor:
        exact = self.linear(x.float(), weight.float())
        y = exact
        if self.chosen(name):
            y = product(x, weight, self.scheme, len(weight) if name.endswith("second") else 0)
            self.errors[name] = error(y, exact)
            self.tails[name] = float((x.abs().amax(-1) / x.square().mean(-1).sqrt().clamp(min=1e-30)).mean())
        return y if bias is None else y + bias

    def __enter__(self) -> Int8:
        def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            base = weight if weight._base is None else weight._base
            return self.apply(x, weight, bias, self.names.get(id(base), "other"))

        def narrow(layer: Narrow, x: Tensor) -> Tensor:
            return self.apply(x, layer.weight.T, layer.bias, self.names[id(layer.weight)])

        networks.F.linear, Narrow.forward = linear, narrow  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        networks.F.linear, Narrow.forward = self.linear, self.narrow  # type: ignore[method-assign]


def in_blocks(name: str) -> bool:
    """Layers that the program computes in int8: those of the blocks that read tokens."""
    return name.startswith(("doubles", "singles")) and "modulation" not in name


class Velocities:
    """The demo model's velocity on a batch of held-out edits at several noise levels."""

    def __init__(self, folder: Path, each: int) -> None:
        shape = Shape.of_folder(folder)
        modules = nn.ModuleDict({"transformer": Transformer(shape), "text": TextEncoders(shape)})
        modules.load_state_dict(read_folder(folder, shape))
        self.model = modules["transformer"].float().eval()
        encoder, rng = Encoder(folder), np.random.default_rng(7)
        made = [edits.make(kind, rng, held_out=True) for kind in KINDS for _ in range(each)]
        tokens = encoder.pictures(np.stack([draw(scene) for edit in made for scene in (edit.target, edit.references[0])]))
        target, reference = tokens.view(len(made), 2, TARGET_TOKENS, 64).float().unbind(1)
        ids = [torch.tensor(part) for part in zip(*(encoder.prompt(edit.prompt) for edit in made))]
        self.words, self.pooled = modules["text"].float()(*ids)
        self.t = torch.linspace(0.15, 0.98, len(made))
        noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(3))
        self.tokens = torch.cat((torch.lerp(target, noise, self.t[:, None, None]), reference), 1)
        self.cos, self.sin = rotations(token_positions(1).flatten(0, 1)[None], shape)

    def run(self) -> Tensor:
        """The velocity [B,64,64]."""
        return self.model(self.tokens, self.words, self.pooled, self.t, self.cos, self.sin, TARGET_TOKENS)


def layers(folder: Path, each: int) -> None:
    """The table of the demo model."""
    setting = Velocities(folder, each)

    def velocity(scheme: str, chosen: Callable[[str], bool]) -> float:
        with Int8(setting.model, scheme, chosen):
            return error(setting.run(), exact)

    with Int8(setting.model, "group", lambda name: False):
        exact = setting.run()
    errors = {}
    for scheme in SCHEMES:
        with Int8(setting.model, scheme, lambda name: True) as run:
            setting.run()
        errors[scheme], tails = run.errors, run.tails
    print("\nErrors of the layers' results in int8 (relative l2), of the velocity with this layer alone in int8, and the")
    print("largest value of a row beside its root mean square. In brackets: layers that the program leaves exact.\n")
    print("| layer | K | largest | " + " | ".join(SCHEMES) + " | velocity, `group` | velocity, `rotated` |")
    print("|---" * (5 + len(SCHEMES)) + "|")
    for name in errors["group"]:
        alone = [velocity(scheme, lambda other: other == name) for scheme in ("group", "rotated")]
        layer = setting.model.get_submodule(name)
        depth = layer.weight.shape[0 if isinstance(layer, Narrow) else 1]
        values = " | ".join(f"{errors[scheme][name]:.1e}" for scheme in SCHEMES)
        shown = name if in_blocks(name) else f"({name})"
        print(f"| {shown} | {depth} | {tails[name]:.1f} | {values} | {alone[0]:.1e} | {alone[1]:.1e} |")
    for title, chosen in (("as the program does", in_blocks), ("every layer in int8", lambda name: True)):
        values = " | ".join(f"{velocity(scheme, chosen):.1e}" for scheme in SCHEMES)
        print(f"| **velocity, {title}** | | | {values} | | |")


def tails(rows: int, depth: int, columns: int) -> None:
    """The table of invented activations."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def student(*shape: int) -> Tensor:
        return normal(*shape) / torch.stack([normal(*shape).square() for _ in range(4)]).mean(0).sqrt()

    def loud(count: int, factor: float) -> Tensor:
        x = normal(rows, depth)
        x[:, torch.randperm(depth, generator=generator)[:count]] *= factor
        return x

    plain = normal(columns, depth)
    cases = {
        "normal": (normal(rows, depth), plain),
        "GELU of normal": (F.gelu(normal(rows, depth)), plain),
        "Student's t, 4 degrees": (student(rows, depth), plain),
        "the same, weights too": (student(rows, depth), student(columns, depth)),
        "8 columns x 30": (loud(8, 30), plain),
        "32 columns x 30": (loud(32, 30), plain),
        "3 columns x 300": (loud(3, 300), plain),
    }
    print(f"\nInvented activations ({rows}, {depth}) and weights ({columns}, {depth}): relative l2; where columns are loud, of what")
    print("the others contribute too\n")
    schemes = (*SCHEMES, "unsigned")
    print("| activations | largest | " + " | ".join(schemes) + " |")
    print("|---" * (2 + len(schemes)) + "|")
    for name, (x, weight) in cases.items():
        largest = float((x.abs().amax(-1) / x.square().mean(-1).sqrt()).mean())
        exact = x @ weight.T
        quiet = x * (x.square().mean(0) < 4)
        whole = [error(product(x, weight, scheme), exact) for scheme in schemes]
        values = " | ".join(f"{value:.1e}" for value in whole)
        if "columns" in name:
            ratio = float(exact.norm() / (quiet @ weight.T).norm())
            values = " | ".join(f"{value:.1e} ({value * ratio:.1e})" for value in whole)
        print(f"| {name} | {largest:.0f} | {values} |")


def attention_tails(tokens: int, size: int) -> None:
    """The table of invented queries and keys of one head, Q K^T in int8."""
    generator = torch.Generator().manual_seed(2)

    def normal() -> Tensor:
        return torch.randn(tokens, size, generator=generator)

    def attend(q: Tensor, k: Tensor) -> Tensor:
        return torch.softmax(q @ k.T / math.sqrt(size), -1) @ values

    column = torch.ones(size)
    column[5] = 8
    uneven = torch.exp(0.8 * torch.randn(size, generator=generator))
    uneven /= uneven.square().mean().sqrt()
    values = normal()
    cases = {
        "normal": (normal(), normal()),
        "cubes of normal values": (normal() ** 3 / math.sqrt(15), normal() ** 3 / math.sqrt(15)),
        "one column of both x 8": (normal() * column, normal() * column),
        "columns x exp(0.8 normal)": (normal() * uneven, normal() * uneven),
    }
    print(f"\nAttention of one head of {size}, {tokens} tokens, Q K^T in int8: relative l2\n")
    print("| queries and keys | plain | rotated |\n|---|---|---|")
    for name, (q, k) in cases.items():
        exact, k = attend(q, k), k - k.mean(0)
        plain = attend(rounded(q, [size]), rounded(k, [size]))
        turned = attend(rounded(rotate(q, [size]), [size]), rounded(rotate(k, [size]), [size]))
        print(f"| {name} | {error(plain, exact):.1e} | {error(turned, exact):.1e} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--each", type=int, default=8, help="edits of each kind")
    options = parser.parse_args()
    with torch.no_grad():
        layers(options.model, options.each)
        tails(256, 3072, 1024)
        attention_tails(1024, 128)


if __name__ == "__main__":
    main()
