"""Muon: momentum whose matrix updates are made orthogonal by a few Newton-Schulz steps.

Matrices of one shape go through the iteration together. Convolution weights count as matrices (output, rest).
"""

from __future__ import annotations

from collections import defaultdict

import torch

from train.demo.number_format import PRODUCTS

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration that drives all singular values towards 1


def orthogonalise(x: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """x (B, M, N) f32 -> nearly orthogonal matrices of the same shape, f32, computed in `PRODUCTS`."""
    a, b, c = _COEFFICIENTS
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.transpose(1, 2)
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(PRODUCTS)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled by sqrt(max(1, rows / columns))."""

    def __init__(self, params, lr: float = 0.02, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # noqa: ARG002 - the signature of the base class
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"]
                m.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(m, group["momentum"]).reshape(p.size(0), -1)
                shapes[tuple(update.shape)].append((p, update))
            for (rows, columns), members in shapes.items():
                scale = max(1.0, rows / columns) ** 0.5
                for (p, _), update in zip(members, orthogonalise(torch.stack([u for _, u in members]))):
                    p.add_(update.view_as(p), alpha=-group["lr"] * scale)
