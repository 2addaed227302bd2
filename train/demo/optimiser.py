"""All parameters in flat buffers that two training processes share, and the update of each process's half.

The squares of the transformer's blocks come first and are updated by Muon, all others by AdamW. Each process computes
gradients with a copy in `PRODUCTS`, waits, updates its half of the f32 values from the mean of all gradients, and waits
again; nothing is ever sent.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from train.demo.muon import orthogonalise
from train.demo.number_format import PRODUCTS

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

MUON_RATE = 1e-3  # root mean square of an update of a square
MUON_MOMENTUM = 0.95
MUON_DECAY = 0.05
ADAM_RATE = 2e-3
TEXT_FACTOR = 0.25  # of that rate, for the text encoders: at the full one T5 grew until its scores saturated
ADAM_BETAS = (0.9, 0.98)
SPIKE = 3.0  # gradients larger than this times their running norm are cut
SAVED = ("master", "average", "momentum", "square", "counters")


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where a parameter lives in the flat buffers."""

    name: str
    shape: torch.Size
    offset: int


class Flat:
    """The shared buffers."""

    def __init__(self, modules: nn.ModuleDict, width: int, processes: int) -> None:
        squares, others = [], []
        for name, parameter in modules.named_parameters():
            in_block = name.startswith(("transformer.doubles", "transformer.singles")) and "modulation" not in name
            is_square = in_block and parameter.ndim == 2 and parameter.shape[1] == width
            (squares if is_square else others).append((name, parameter))
        self.width, self.processes = width, processes
        self.slots: list[Slot] = []
        offset = 0
        for name, parameter in squares + others:
            self.slots.append(Slot(name, parameter.shape, offset))
            offset += parameter.numel()
            if name == squares[-1][0]:
                self.squares = offset // width**2
        self.size = offset
        self.master = torch.cat([p.detach().float().flatten() for _, p in squares + others])
        self.average = self.master.clone()
        self.work = self.master.to(PRODUCTS)
        self.gradients = torch.zeros(processes, self.size, dtype=PRODUCTS)
        self.momentum = torch.zeros(self.size)
        self.square = torch.zeros(self.size - self.squares * width**2)
        self.factor = torch.cat([torch.full((p.numel(),), TEXT_FACTOR if n.startswith("text.") else 1.0) for n, p in others])
        self.counters = torch.zeros(4, dtype=torch.float64)  # updates, samples, seconds, updates since a fresh start
        for name in (*SAVED, "work", "gradients", "factor"):
            getattr(self, name).share_memory_()

    def bind(self, modules: nn.ModuleDict, rank: int) -> None:
        """Makes the parameters of a process views of the working copy, and their gradients views of its row."""
        modules.to(PRODUCTS)
        parameters = dict(modules.named_parameters())
        for slot in self.slots:
            parameter = parameters[slot.name]
            end = slot.offset + slot.shape.numel()
            parameter.data = self.work[slot.offset : end].view(slot.shape)
            parameter.grad = self.gradients[rank, slot.offset : end].view(slot.shape)

    def state(self, which: str) -> dict[str, Tensor]:
        """Named copies of `master` or `average`."""
        flat: Tensor = getattr(self, which)
        return {s.name: flat[s.offset : s.offset + s.shape.numel()].view(s.shape).clone() for s in self.slots}

    def load(self, state: dict[str, Tensor]) -> None:
        """Starts from given values, with a fresh state of the optimiser."""
        for slot in self.slots:
            self.master[slot.offset : slot.offset + slot.shape.numel()] = state[slot.name].float().flatten()
        self.average.copy_(self.master)
        self.work.copy_(self.master)

    def checkpoint(self) -> dict[str, object]:
        """Everything that a resumed run needs."""
        table = [(slot.name, tuple(slot.shape)) for slot in self.slots]
        return {"slots": table} | {name: getattr(self, name).clone() for name in SAVED}

    def resume(self, saved: dict[str, object]) -> None:
        """Goes on from a checkpoint."""
        if saved["slots"] != [(slot.name, tuple(slot.shape)) for slot in self.slots]:
            raise ValueError("the checkpoint is of another model")
        for name in SAVED:
            getattr(self, name).copy_(saved[name])
        self.work.copy_(self.master)


class Updater:
    """One process's half of the updates."""

    def __init__(self, flat: Flat, rank: int, barrier: Barrier) -> None:
        self.flat, self.rank, self.barrier = flat, rank, barrier
        self.norms = [0.0, 0.0]
        cells = flat.width**2
        cuts = [flat.squares * k // flat.processes for k in range(flat.processes + 1)]
        self.muon = slice(cuts[rank] * cells, cuts[rank + 1] * cells)
        self.start = flat.squares * cells
        rest = flat.size - self.start
        cuts = [rest * k // flat.processes for k in range(flat.processes + 1)]
        self.adam = slice(self.start + cuts[rank], self.start + cuts[rank + 1])

    def _gradient(self, part: slice, which: int) -> Tensor:
        """Mean gradient of a part, with spikes cut."""
        gradient = self.flat.gradients[:, part].float().mean(0)
        norm = float(gradient.norm())
        usual = self.norms[which] or norm
        if norm > SPIKE * usual:
            gradient *= SPIKE * usual / norm
        self.norms[which] = 0.98 * usual + 0.02 * min(norm, SPIKE * usual)
        return gradient

    @torch.no_grad()
    def update(self, rate: float, decay: float, count: int) -> None:
        """Update number `count` since a fresh start, at `rate` times the full rates; the average moves by 1 - `decay`."""
        flat = self.flat
        self.barrier.wait()
        gradient = self._gradient(self.muon, 0)
        momentum = flat.momentum[self.muon]
        momentum.lerp_(gradient, 1 - MUON_MOMENTUM)
        nesterov = gradient.lerp_(momentum, MUON_MOMENTUM).view(-1, flat.width, flat.width)
        direction = orthogonalise(nesterov).flatten()
        master = flat.master[self.muon]
        master.mul_(1 - rate * MUON_RATE * MUON_DECAY).add_(direction, alpha=-rate * MUON_RATE * flat.width**0.5)

        gradient = self._gradient(self.adam, 1)
        first = flat.momentum[self.adam]
        rest = slice(self.adam.start - self.start, self.adam.stop - self.start)
        second = flat.square[rest]
        first.lerp_(gradient, 1 - ADAM_BETAS[0])
        second.lerp_(gradient.square_(), 1 - ADAM_BETAS[1])
        root = (second / (1 - ADAM_BETAS[1] ** count)).sqrt_().add_(1e-8).div_(flat.factor[rest])
        flat.master[self.adam].addcdiv_(first, root, value=-rate * ADAM_RATE / (1 - ADAM_BETAS[0] ** count))

        for part in (self.muon, self.adam):
            flat.average[part].lerp_(flat.master[part], 1 - decay)
            flat.work[part].copy_(flat.master[part])
        flat.gradients[:, self.muon] = 0
        flat.gradients[:, self.adam] = 0
        self.barrier.wait()
