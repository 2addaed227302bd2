"""Trains the transformer and both text encoders by flow matching.

    python -m train.demo.flow --minutes 110                        # starts, or goes on from the checkpoint
    python -m train.demo.flow --from models/demo --minutes 110     # goes on from exported weights, optimiser fresh
    python -m train.demo.flow --rates 1:0 --minutes 20 --name release    # from a copied checkpoint, the rate falls to nothing

One process for each core, one thread in each: on matrices this small two processes lose no time at barriers within a
step, and little when other programs run. Every process computes gradients of its own batch, then updates its half of the
parameters (`optimiser.py`). The rate is constant, or goes in a line between two factors of the full rate over the run; a
release is made by a run whose rate falls to nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from train.demo.encoders import TextEncoders
from train.demo.names import read_folder
from train.demo.networks import TARGET_TOKENS, TEXT_TOKENS, Shape, Transformer
from train.demo.optimiser import Flat, Updater
from train.demo.pool import MAX_REFERENCES, Encoder, Pool

SHARES = (0.10, 0.51, 0.19, 0.08, 0.12)  # of the batches, by number of references
WARM_UP = 150
LEAST_RATE = 0.01
AVERAGE = 0.997
TIME_MEAN, TIME_SPREAD = 1.5, 1.3  # of the logit of t
TIME_HIGH = 0.25  # share of samples with nearly pure noise, where only text and references tell the answer
NEAREST_STEP, FARTHEST_STEP = 0.9, 0.15  # bounds of the second noise level over the first
SECOND_SHARE = 2.0  # weight of the second loss
FIRST_SAMPLES = 640
GROWTH = 16
SAVE_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says."""

    model: Path
    work: Path
    name: str
    source: Path | None
    minutes: float
    rates: tuple[float, float]
    tokens: int
    kept: int
    reuse: float
    seed: int
    processes: int
    kinds: Path | None
    compile: bool


def build(shape: Shape, seed: int) -> nn.ModuleDict:
    """Both trained parts with random weights."""
    generator = torch.Generator().manual_seed(seed)
    modules = nn.ModuleDict({"transformer": Transformer(shape), "text": TextEncoders(shape)})
    with torch.no_grad():
        modules["transformer"].initialise(generator)
        modules["text"].t5.initialise(generator)
        modules["text"].clip.initialise(generator)
    return modules


def batch_size(references: int, options: Options) -> int:
    """Samples of one batch, so that all batches take about as long; each goes through the model twice."""
    length = TEXT_TOKENS + options.kept * (1 + references)
    return max(1, round(options.tokens / (2 * length * (1 + length / 2000))))


def choose_bucket(number: int) -> int:
    """Number of references of batch `number`: the shares, spread evenly over time."""
    position = (number * 0.6180339887498949) % 1.0
    for references, share in enumerate(SHARES):
        position -= share
        if position < 0:
            return references
    return MAX_REFERENCES


def draw_times(size: int, generator: torch.Generator) -> Tensor:
    """Noise levels."""
    t = torch.sigmoid(TIME_MEAN + TIME_SPREAD * torch.randn(size, generator=generator))
    uniform = torch.rand(size, 2, generator=generator)
    return torch.where(uniform[:, 0] < TIME_HIGH, 1 - 0.1 * uniform[:, 1].square(), t)


def flow_losses(
    modules: nn.ModuleDict, pool: Pool, references: int, size: int, kept: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Weighted squared errors on one random batch.

    The first is that of the velocity (flow matching). The second is that of the picture which the model sees after a
    step of its own from there to a lower noise level: so it learns to mend what a step of its own left wrong. Where an
    edit has several right answers, the one counts that the model came nearest to.
    """
    generator = torch.Generator().manual_seed(seed)
    batch = pool.buckets[references].batch(size, kept, generator)
    t = draw_times(size, generator)
    noise = torch.randn(batch.target.shape, generator=generator)
    mixed = torch.lerp(batch.target, noise, t[:, None, None])
    words, pooled = modules["text"](batch.t5, batch.clip)

    def velocity_at(x: Tensor, level: Tensor) -> Tensor:
        tokens = torch.cat((x, batch.references), 1)
        return modules["transformer"](tokens, words[:, : batch.words], pooled, level, batch.cos, batch.sin, kept)

    velocity = velocity_at(mixed, t)
    first = (velocity - (noise - batch.target)).square().mean(-1)
    step = velocity.detach()
    lower = t * torch.empty_like(t).uniform_(FARTHEST_STEP, NEAREST_STEP, generator=generator)
    moved = mixed + (lower - t)[:, None, None] * step
    answer = batch.nearest(mixed - t[:, None, None] * step)
    second = (moved - lower[:, None, None] * velocity_at(moved, lower) - answer).square().mean(-1)
    return (first * batch.weight).mean(), (second * batch.weight).mean()


def learning_rate(updates: float, seconds: float, options: Options) -> float:
    """Factor of the full rate: warm-up, and a line from the first of `rates` to the second over the whole run."""
    first, last = options.rates
    line = first + (last - first) * min(1.0, seconds / max(1.0, 60 * options.minutes))
    return min(1.0, (updates + 1) / WARM_UP) * max(LEAST_RATE, line)


class Worker:
    """One training process."""

    def __init__(self, rank: int, shape: Shape, flat: Flat, barrier, stop: Tensor, options: Options) -> None:
        self.rank, self.flat, self.barrier, self.stop, self.options = rank, flat, barrier, stop, options
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        self.modules = build(shape, options.seed)
        flat.bind(self.modules, rank)
        # Updates count into the seed, so that a resumed run draws other samples than the one before.
        seed = options.seed * 1_000_003 + int(flat.counters[0])
        self.pool = Pool(Encoder(options.model), shape, seed, rank, options.kinds)
        self.updater = Updater(flat, rank, barrier)
        self.losses: list[list[tuple[float, float]]] = [[] for _ in range(MAX_REFERENCES + 1)]

    def warm_up(self) -> None:
        """Fills the pool and compiles, one process after the other, so that the second finds the first's results."""
        self.set_demand()
        for _ in range(FIRST_SAMPLES // GROWTH):
            self.pool.grow(GROWTH)
        if not self.options.compile:
            return
        self.modules["transformer"].compile()
        for rank in range(self.options.processes):
            if rank == self.rank:
                for references in range(MAX_REFERENCES + 1):
                    self.backward(references, 0)
            self.barrier.wait()
        self.flat.gradients[self.rank] = 0

    def set_demand(self) -> None:
        """Tells the pool how many samples of each kind training takes."""
        self.pool.set_demand(tuple(share * batch_size(r, self.options) for r, share in enumerate(SHARES)))

    def backward(self, references: int, number: int) -> int:
        """Gradients of one batch; returns its size."""
        size = batch_size(references, self.options)
        seed = self.options.seed * 7_368_787 + number
        first, second = flow_losses(self.modules, self.pool, references, size, self.options.kept, seed)
        (first + SECOND_SHARE * second).backward()
        self.losses[references].append((first.item(), second.item()))
        return size

    def run(self) -> None:
        """Trains until told to stop."""
        self.warm_up()
        options, counters = self.options, self.flat.counters
        begin = time.monotonic()
        step, fresh, before = int(counters[0]), int(counters[3]), float(counters[2])
        used, shown, saved = 0, (begin, 0), begin
        limit = 60 * options.minutes
        while step < self.stop[0]:
            number = step * options.processes + self.rank
            used += self.backward(choose_bucket(number), number)
            if step % 50 == 0:
                self.set_demand()
            if used > options.reuse * (self.pool.count - FIRST_SAMPLES):
                self.pool.grow(GROWTH)
            now = time.monotonic()
            if self.rank == 0 and (self.stop[1] or now - begin > limit):
                self.stop[0] = step + 1
            decay = min(AVERAGE, (1 + step) / (10 + step))
            self.updater.update(learning_rate(fresh, now - begin, options), decay, fresh + 1)
            step, fresh = step + 1, fresh + 1
            if self.rank != 0:
                continue
            counters[0], counters[2], counters[3] = step, before + now - begin, fresh
            if step % 50 == 0:
                self.report(step, used - shown[1], now - shown[0])
                counters[1] += options.processes * (used - shown[1])
                shown = (now, used)
            if now - saved > SAVE_SECONDS or step == self.stop[0]:
                self.save()
                saved = now

    def report(self, step: int, samples: int, seconds: float) -> None:
        """One line of the log."""
        means = [[statistics.mean(loss) for loss in zip(*pairs, strict=True)] for pairs in self.losses]
        losses = " ".join("+".join(f"{mean:.3f}" for mean in pair) or "-" for pair in means)
        self.losses = [[] for _ in self.losses]
        speed = self.options.processes * samples / seconds
        minutes = float(self.flat.counters[2]) / 60
        total = int(self.flat.counters[1]) + self.options.processes * samples
        print(f"step {step} min {minutes:.1f} samples {total} loss {losses} {speed:.0f}/s pool {self.pool.count}", flush=True)

    def save(self) -> None:
        """Writes the checkpoint, then puts it into place."""
        path = checkpoint_path(self.options)
        torch.save(self.flat.checkpoint(), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)


def checkpoint_path(options: Options) -> Path:
    """The checkpoint of a run."""
    return options.work / f"{options.name}.pt"


def ask_on_signals(stop: Tensor) -> None:
    """Lets a signal ask for the end of the run; the first process says after which step, so that all end together."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop[1:].fill_(1))


def work(rank: int, shape: Shape, flat: Flat, barrier, stop: Tensor, options: Options) -> None:
    """Entry of a process; a failure releases the others from their barrier."""
    ask_on_signals(stop)
    try:
        Worker(rank, shape, flat, barrier, stop, options).run()
    except BaseException:
        barrier.abort()
        raise


def train(options: Options) -> None:
    """Starts the processes and waits for them."""
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    shape = Shape.of_folder(options.model)
    modules = build(shape, options.seed)
    flat = Flat(modules, shape.width, options.processes)
    if checkpoint_path(options).exists():
        flat.resume(torch.load(checkpoint_path(options), mmap=True))
    elif options.source:
        flat.load(read_folder(options.source, shape))
    context = torch.multiprocessing.get_context("spawn")
    barrier, stop = context.Barrier(options.processes), torch.tensor([2**62, 0]).share_memory_()
    arguments = (shape, flat, barrier, stop, options)
    processes = [context.Process(target=work, args=(rank, *arguments)) for rank in range(options.processes)]
    for process in processes:
        process.start()
    ask_on_signals(stop)
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    if any(codes):
        raise SystemExit(f"a training process failed: exit codes {codes}")


def rates(text: str) -> tuple[float, float]:
    """Two factors of the full rate, written FIRST:LAST."""
    first, last = (float(part) for part in text.split(":"))
    if not 0 <= min(first, last) <= max(first, last) <= 1:
        raise ValueError(text)
    return first, last


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/demo"), help="folder with VAE and tokenizers")
    parser.add_argument("--work", type=Path, default=Path(".cache/train-runs"), help="folder of checkpoints")
    parser.add_argument("--name", default="flow", help="name of the checkpoint")
    parser.add_argument("--from", type=Path, dest="source", help="start from the weights of an exported folder")
    parser.add_argument("--minutes", type=float, default=110, help="length of this run")
    parser.add_argument("--rates", type=rates, default=(1.0, 1.0), help="first and last rate over the full one, as 1:0")
    parser.add_argument("--tokens", type=int, default=2400, help="tokens of a batch")
    parser.add_argument("--kept", type=int, default=40, help=f"tokens kept of each picture, at most {TARGET_TOKENS}")
    parser.add_argument("--reuse", type=float, default=8, help="how often a sample is used")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--kinds", type=Path, help="JSON file with weights of kinds of edits, read while training")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
