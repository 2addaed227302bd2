"""The slice (2 double and 4 single blocks of true width) and one step's inputs, as diffusers sees them.

The folder is written by `kontext model synth --preset slice`, the inputs by one `kontext edit --dump` on it, so every
engine computes the same velocity from the same numbers and can be compared with the program's own.
"""
from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file

# 1000 x guidance is exact in bf16. 2.5 would round to 2496 there, and the angles of the guidance's sinusoid would be other ones:
# a distance of 0.11 that says nothing of the arithmetic.
GUIDANCE = 2.0
INPUTS = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "img_ids", "txt_ids", "guidance")


class Velocity(torch.nn.Module):
    """The transformer with positional inputs and one output: the velocity of the target's tokens."""

    def __init__(self, transformer: FluxTransformer2DModel, target_tokens: int) -> None:
        super().__init__()
        self.transformer, self.target_tokens = transformer, target_tokens

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        named = dict(zip(INPUTS, inputs, strict=True))
        return self.transformer(**named, return_dict=False)[0][:, : self.target_tokens]


def load(folder: Path, dtype: torch.dtype, target_tokens: int) -> Velocity:
    transformer = FluxTransformer2DModel.from_pretrained(folder, subfolder="transformer", torch_dtype=dtype)
    return Velocity(transformer.eval(), target_tokens)


def pack(latent: torch.Tensor) -> torch.Tensor:
    """(16, h, w) -> (1, h/2 * w/2, 64)."""
    c, h, w = latent.shape
    return latent.view(c, h // 2, 2, w // 2, 2).permute(1, 3, 0, 2, 4).reshape(1, h * w // 4, 4 * c)


def inputs(dump: Path, dtype: torch.dtype = torch.float32) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """The inputs of the first step in the order of INPUTS (positions stay f32), and the program's f32 velocity."""
    tensors = load_file(dump)
    tokens = [pack(tensors["noise"])]
    tokens += [pack(tensors[f"ref.{k}.latents"]) for k in range(4) if f"ref.{k}.latents" in tensors]
    text = tensors["t5.embeds"]
    values = (
        torch.cat(tokens, dim=1).to(dtype),
        text[None].to(dtype),
        tensors["clip.pooled"][None].to(dtype),
        tensors["sigmas"][:1].to(dtype),
        tensors["ids"][len(text) :].contiguous(),
        tensors["ids"][: len(text)].contiguous(),
        torch.tensor([GUIDANCE], dtype=dtype),
    )
    return values, tensors["step.0.velocity"][None]


def write_picture(path: Path, side: int) -> None:
    """A colourful PNG that depends on nothing."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(side) for value in ((x * 7 + y * 3) % 256, (x ^ y) % 256, (x * y >> 4) % 256))
        for y in range(side)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def edit_command(kontext: Path, folder: Path, work: Path, precision: str, steps: int) -> list[str]:
    """A 512x512 edit with one 512x512 reference: 512 + 1024 + 1024 tokens."""
    picture = work / "reference.png"
    if not picture.exists():
        write_picture(picture, 512)
    command = f"{kontext} edit -m {folder} -i {picture} --ref-size native --size 512x512 --steps {steps} --seed 1"
    command += f" --guidance {GUIDANCE} --precision {precision} --json --progress none -o {work / 'out.png'} -p"
    return [*command.split(), "Make the roof red"]


def prepare(kontext: Path, work: Path) -> tuple[Path, Path]:
    """The folder of the slice and the dump, made when they are missing."""
    folder, dump = work / "slice", work / "slice.safetensors"
    work.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        subprocess.run([kontext, "model", "synth", "--preset", "slice", "-q", folder], check=True)
    if not dump.exists():
        command = [*edit_command(kontext, folder, work, "f32", 1), "--dump", str(dump)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder, dump
