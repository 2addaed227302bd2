"""Checks that diffusers' own FluxKontextPipeline loads the folder and makes the program's picture, in f32.

    python -m train.demo.check_diffusers build/kontext models/demo

For a few held-out edits with one reference both start from the same noise. At least 99.9 % of the bytes must be equal and
none may be off by more than 1.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxKontextPipeline
from PIL import Image
from safetensors.torch import save_file

from train.demo.evaluate import drawn_references, held_out_edits, write_pictures
from train.demo.export import PICTURE
from train.demo.networks import GUIDANCE, TEXT_TOKENS
from train.demo.pool import pack

KINDS = ("recolour_garment", "put_on_hat", "named_background", "mood")
STEPS = 8
EQUAL = 0.999


def public_picture(pipeline: FluxKontextPipeline, reference: Path, prompt: str, noise: torch.Tensor) -> np.ndarray:
    """The picture of diffusers."""
    picture = pipeline(
        image=Image.open(reference),
        prompt=prompt,
        height=PICTURE,
        width=PICTURE,
        max_area=PICTURE * PICTURE,
        _auto_resize=False,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        max_sequence_length=TEXT_TOKENS,
        latents=pack(noise[None]),
    ).images[0]
    return np.asarray(picture.convert("RGB"))


def our_picture(program: Path, model: Path, reference: Path, prompt: str, noise: torch.Tensor, folder: Path) -> np.ndarray:
    """The picture of the program."""
    save_file({"noise": noise}, folder / "noise.safetensors")
    output = folder / "out.png"
    command = [program, "edit", "-q", "-m", model, "-i", reference, "-p", prompt, "-o", output, "--precision", "f32"]
    command += ["--steps", str(STEPS), "--noise", folder / "noise.safetensors"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return np.asarray(Image.open(output).convert("RGB"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    pipeline = FluxKontextPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    failed = False
    for number, edit in enumerate(held_out_edits(1, 1000, KINDS)):
        noise = torch.randn(16, PICTURE // 8, PICTURE // 8, generator=torch.Generator().manual_seed(number))
        with tempfile.TemporaryDirectory() as name:
            (reference,) = write_pictures(drawn_references(edit), Path(name))
            theirs = public_picture(pipeline, reference, edit.prompt, noise)
            ours = our_picture(args.program, args.model, reference, edit.prompt, noise, Path(name))
        difference = np.abs(ours.astype(int) - theirs.astype(int))
        equal, largest = float((difference == 0).mean()), int(difference.max())
        failed |= equal < EQUAL or largest > 1
        print(f"{edit.kind}: {100 * equal:.3f} % of the bytes are equal, the largest difference is {largest}")
    if failed:
        raise SystemExit("the pictures differ")


if __name__ == "__main__":
    main()
