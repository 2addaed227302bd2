"""Writes the trained autoencoder as a diffusers `vae` folder, and measures such a folder.

    python -m train.demo.vae_export export OUT      # from the newest checkpoint: OUT/config.json, diffusion_pytorch_model.safetensors
    python -m train.demo.vae_export evaluate VAE    # round trip of held-out right answers: PSNR and the judge, by kind of edit

The weights are the running averages, in BF16. What is measured is the folder itself, so with rounded weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from .draw import draw
from .edits import KINDS, make
from .judge import judge, psnr
from .vae import build, to_pictures, to_tensor, training_scene

LATENT_PICTURES = 1024  # whose latents give the scale and the shift
WEIGHTS = "diffusion_pytorch_model.safetensors"


@torch.no_grad()
def _latent_statistics(model: AutoencoderKL) -> tuple[float, float]:
    """Mean and standard deviation of all latent values of training pictures."""
    parts = []
    for start in range(0, LATENT_PICTURES, 32):
        rngs = [np.random.default_rng((99, start + k)) for k in range(32)]
        x = to_tensor([draw(training_scene(rng)) for rng in rngs])
        parts.append(model.encode(x).latent_dist.mode())
    z = torch.cat(parts)
    return float(z.mean()), float(z.std())


def export(work: Path, out: Path) -> None:
    """Writes the folder. With the decoder's second stage, scale and shift of a folder that is there stay: the flow knows them."""
    model = build()
    decoder = work / "vae-decoder.pt"
    state = torch.load(decoder if decoder.exists() else work / "vae.pt")["ema"]
    rounded = {name: value.bfloat16().contiguous() for name, value in state.items()}
    model.load_state_dict({name: value.float() for name, value in rounded.items()})
    out.mkdir(parents=True, exist_ok=True)
    if not (decoder.exists() and (out / "config.json").exists()):
        mean, deviation = _latent_statistics(model)
        config = {key: value for key, value in model.config.items() if not key.startswith("_")}
        config |= {"_class_name": "AutoencoderKL", "shift_factor": round(mean, 5), "scaling_factor": round(1 / deviation, 5)}
        config |= {"sample_size": 128, "force_upcast": False}
        (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file(rounded, out / (WEIGHTS + ".part"), metadata={"format": "pt"})
    (out / (WEIGHTS + ".part")).replace(out / WEIGHTS)
    print(f"{sum(v.numel() for v in rounded.values())} parameters, {(out / WEIGHTS).stat().st_size} bytes")


@torch.no_grad()
def evaluate(folder: Path, per_kind: int, noise: float) -> None:
    """Prints PSNR and judge's success of the round trip of right answers. `noise`: added to the scaled latents."""
    model = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()  # the rounded weights
    generator = torch.Generator().manual_seed(5)
    values, passed, failures = [], [], []
    print(f"{'kind':24} pass    dB")
    for k, kind in enumerate(KINDS):
        edits = [make(kind.name, np.random.default_rng((31, k, n)), held_out=True) for n in range(per_kind)]
        truths = [draw(edit.target) for edit in edits]
        z = model.encode(to_tensor(truths)).latent_dist.mode()
        z = z + noise / model.config.scaling_factor * torch.randn(z.shape, generator=generator)
        results = to_pictures(model.decode(z).sample)
        verdicts = [judge(picture, edit) for picture, edit in zip(results, edits)]
        ratios = [psnr(a, b) for a, b in zip(results, truths)]
        failures += [f"{edit.prompt} {verdict.failed}" for edit, verdict in zip(edits, verdicts) if not verdict.ok]
        values += ratios
        passed += [verdict.ok for verdict in verdicts]
        print(f"{kind.name:24} {np.mean([v.ok for v in verdicts]):.2f}  {np.mean(ratios):.2f}")
    print(f"{'all':24} {np.mean(passed):.4f}  {np.mean(values):.2f}   {len(passed)} pictures, worst {min(values):.2f} dB")
    for failure in failures[:20]:
        print("  failed:", failure)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".cache/train-runs"), help="folder of the checkpoint")
    commands = parser.add_subparsers(dest="command", required=True)
    exporting = commands.add_parser("export")
    exporting.add_argument("out", type=Path)
    evaluating = commands.add_parser("evaluate")
    evaluating.add_argument("folder", type=Path)
    evaluating.add_argument("--per-kind", type=int, default=20)
    evaluating.add_argument("--noise", type=float, default=0.0)
    args = parser.parse_args()
    if args.command == "export":
        export(args.work, args.out)
    else:
        evaluate(args.folder, args.per_kind, args.noise)


if __name__ == "__main__":
    main()
