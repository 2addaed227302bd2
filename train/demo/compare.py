"""Runs the same held-out edits under two settings of the program and tells how far the results are apart.

    python -m train.demo.compare build/kontext models/demo --a="--steps 8" --b="--steps 28"
    python -m train.demo.compare build/kontext models/demo --a="--references offset" --b="--references stitch" --several

Prints the success of each under the judge, and PSNR and SSIM between the two.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import numpy as np

from train.demo.evaluate import held_out_edits, program_results
from train.demo.judge import psnr

WINDOW = 8


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of the brightness of two uint8 pictures, over windows of 8x8 pixels."""
    weights = np.array([0.299, 0.587, 0.114])

    def windows(picture: np.ndarray) -> np.ndarray:
        grey = picture.astype(np.float64) @ weights
        return np.lib.stride_tricks.sliding_window_view(grey, (WINDOW, WINDOW)).reshape(-1, WINDOW * WINDOW)

    x, y = windows(a), windows(b)
    mean_x, mean_y = x.mean(1), y.mean(1)
    spread = x.var(1) + y.var(1)
    together = ((x - mean_x[:, None]) * (y - mean_y[:, None])).mean(1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    scores = (2 * mean_x * mean_y + c1) * (2 * together + c2)
    return float((scores / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))).mean())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--a", default="", help="arguments of the first setting, one string")
    parser.add_argument("--b", default="", help="arguments of the second setting")
    parser.add_argument("--per-kind", type=int, default=4)
    parser.add_argument("--kinds", default="", help="comma-separated; all without it")
    parser.add_argument("--several", action="store_true", help="of these only kinds with several references")
    parser.add_argument("--seed", type=int, default=1000)
    args = parser.parse_args()
    kinds = [kind for kind in args.kinds.split(",") if kind]
    tasks = held_out_edits(args.per_kind, args.seed, kinds)
    if args.several:
        tasks = [edit for edit in tasks if len(edit.references) > 1]
    if not tasks:
        raise SystemExit("no edit is left: --kinds names none with several references")
    first, second = (program_results(args.program, args.model, tasks, shlex.split(s)) for s in (args.a, args.b))
    for name, setting, results in (("A", args.a, first), ("B", args.b, second)):
        rate = 100 * np.mean([r.verdict.ok for r in results])
        truth = np.mean([r.verdict.psnr for r in results])
        seconds = np.mean([r.seconds for r in results])
        print(f"{name}  {setting or '(defaults)'}: success {rate:.1f} %, {truth:.1f} dB to the truth, {seconds:.2f} s an edit")
    pairs = [(a.picture, b.picture) for a, b in zip(first, second, strict=True)]
    both = np.mean([a.verdict.ok == b.verdict.ok for a, b in zip(first, second, strict=True)])
    distances, likeness = [psnr(a, b) for a, b in pairs], np.mean([ssim(a, b) for a, b in pairs])
    worst = int(np.argmin(distances))
    print(
        f"between them: PSNR {np.mean(distances):.1f} dB in the mean, {np.median(distances):.1f} median, "
        f"{distances[worst]:.1f} at the least ({tasks[worst].kind}), SSIM {likeness:.4f}, "
        f"same verdict on {100 * both:.1f} % of {len(pairs)} edits"
    )


if __name__ == "__main__":
    main()
