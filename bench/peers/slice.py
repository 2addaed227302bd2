#!/usr/bin/env python3
"""Seconds of one denoising step of the slice, in the peers and in kontext, in alternating rounds.

    ./dev bench peers slice [--engines "PyTorch bf16,OpenVINO int8,kontext f32"] [--rounds 3] [--threads N] [--now]

The slice is 2 double and 4 single blocks of FLUX.1 Kontext at true width (3072, 24 heads, MLP of 12288) with 512 text tokens,
a target of 512x512 and a reference of 512x512: S = 2560. Weights are random and differ between tensors. Every engine computes
the same step; behind its times stands the relative L2 distance of its velocity from PyTorch f32 (from kontext f32, which
agrees with it to 2e-6, when PyTorch f32 does not take part).

All engines are prepared first, which takes long the first time, and then take turns; a round does not begin before the
machine is idle. Times are of the step alone, without text encoding, loading and compiling.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import measuring
import slice_model
from slice_engines import ENGINES

HERE = Path(__file__).resolve().parent


class Worker:
    """A peer in a process of its own."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        command = [sys.executable, str(HERE / "slice_engines.py"), name, str(options.work), "--threads", str(options.threads)]
        self.name, self.kept = name, options.work / f"velocity-{name.replace(' ', '-')}.pt"
        self.log = open(options.work / f"log-{name.replace(' ', '-')}.txt", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        if self.answer() != "ready":
            raise SystemExit(f"{name} could not be prepared, see {self.log.name}")

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def order(self, text: str) -> float:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer = self.answer()
        if not answer:
            raise SystemExit(f"{self.name} ended, see {self.log.name}")
        return float(answer)

    def velocity(self) -> torch.Tensor:
        self.order(f"keep {self.kept}")
        self.answer()
        return torch.load(self.kept)

    def step(self) -> float:
        return self.order("go")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


class Kontext:
    """The program: its velocity from an edit of one step, its time from `kontext bench` on the same folder."""

    def __init__(self, precision: str, options: argparse.Namespace) -> None:
        self.options, self.precision = options, precision
        self.dump = options.work / f"kontext-{precision}.safetensors"

    def velocity(self) -> torch.Tensor:
        o = self.options
        command = slice_model.edit_command(o.kontext, o.work / "slice", o.work, self.precision, 1)
        subprocess.run([*command, "-t", str(o.threads), "--dump", str(self.dump)], check=True, stdout=subprocess.DEVNULL)
        return load_file(self.dump)["step.0.velocity"][None]

    def step(self) -> float:
        o = self.options
        command = [o.kontext, "bench", "-m", o.work / "slice", "--precision", self.precision, "-t", str(o.threads), "--json"]
        result = subprocess.run([*command, "--suite", "step 512x512, 1 ref"], check=True, capture_output=True, text=True)
        return json.loads(result.stdout)["rows"][0]["seconds"]

    def close(self) -> None:
        pass


def distance(value: torch.Tensor, reference: torch.Tensor) -> float:
    return float((value.double() - reference.double()).norm() / reference.double().norm())


def open_engine(name: str, options: argparse.Namespace) -> Worker | Kontext:
    print(f"preparing {name}", flush=True)
    return Kontext(name.split()[1], options) if name.startswith("kontext ") else Worker(name, options)


def measure(names: list[str], options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, torch.Tensor]]:
    engines = {}
    times: dict[str, list[float]] = {name: [] for name in names}
    try:
        for name in names:
            engines[name] = open_engine(name, options)
        velocities = {name: engine.velocity() for name, engine in engines.items()}  # and a step that does not count
        for number in range(options.rounds):
            for name, engine in engines.items():
                if not options.now:
                    measuring.wait_for_idle()
                times[name].append(engine.step())
            print(f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.2f}" for name, values in times.items()), flush=True)
    finally:
        for engine in engines.values():
            engine.close()
    return times, velocities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kontext", type=Path, default=Path("build/kontext"))
    parser.add_argument("--engines", default=",".join([*ENGINES, "kontext f32"]), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, default=Path(".cache/peers-work"), help="where models and caches are kept (20 GB)")
    parser.add_argument("--now", action="store_true", help="do not wait for an idle machine")
    parser.add_argument("--json", type=Path, help="write the times here as well")
    options = parser.parse_args()
    options.work = options.work.resolve()
    names = [name.strip() for name in options.engines.split(",")]
    if unknown := [name for name in names if name not in ENGINES and not name.startswith("kontext ")]:
        parser.error(f"unknown engines {unknown}; there are {list(ENGINES)} and kontext PRECISION")
    _, dump = slice_model.prepare(options.kontext, options.work)
    times, velocities = measure(names, options)
    reference = velocities.get("PyTorch f32", slice_model.inputs(dump)[1])
    errors = {name: distance(velocity, reference) for name, velocity in velocities.items()}
    base = next((name for name in names if name.startswith("kontext ")), names[0])
    print(measuring.table(times, base, {name: f"relative L2 error {error:.2g}" for name, error in errors.items()}))
    if options.json:
        medians = {name: statistics.median(values) for name, values in times.items()}
        measuring.save(options.json, {"threads": options.threads, "times": times, "medians": medians, "errors": errors})


if __name__ == "__main__":
    main()
