#!/usr/bin/env python3
"""The autoencoder of FLUX.1, random weights, in PyTorch (diffusers) and in kontext in turn.

    vae.py --kontext build/vae-time [--sides 512,1024] [--rounds 3] [--torch bf16-cl,f32-cl] [--precision bf16,f32]

Needs torch and diffusers. Ways of PyTorch: f32 or bf16 weights, `auto` for bf16 autocast, each also channels last
(`-cl`) and compiled (`-cl-comp`). The first call of each side does not count; a ratio above 1 means that the best
time of kontext is shorter than the best of PyTorch. On a machine with other work, --processor-time compares the
processor time of one thread, which neighbours disturb less.
"""
import argparse
import copy
import os
import pathlib
import re
import subprocess
import tempfile
import time

import torch
from diffusers import AutoencoderKL

CONFIG = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 16, "norm_num_groups": 32,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 0.3611, "shift_factor": 0.1159,
}


def torch_call(vae, way, task, side):
    """The call to time, and the autocast that it runs in."""
    model = copy.deepcopy(vae)
    x = torch.rand(1, 3, side, side) if task == "encode" else torch.randn(1, 16, side // 8, side // 8)
    if "bf16" in way:
        model, x = model.bfloat16(), x.bfloat16()
    if "cl" in way.split("-"):
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    call = {"encode": lambda: model.encode(x).latent_dist.mode(), "decode": lambda: model.decode(x).sample}[task]
    if way.endswith("comp"):
        call = torch.compile(call)
    return call, torch.autocast("cpu", dtype=torch.bfloat16, enabled="auto" in way)


def torch_seconds(vae, way, task, side, rounds, clock):
    call, autocast = torch_call(vae, way, task, side)
    seconds = []
    with torch.no_grad(), autocast:
        for _ in range(rounds + 1):
            start = clock()
            call()
            seconds.append(clock() - start)
    return min(seconds[1:])


def kontext_seconds(program, folder, precision, task, side, rounds, processor):
    command = [program, folder, task, precision, str(side), str(rounds + 1)]
    environment = {**os.environ, **({"THREADS": "1"} if processor else {})}
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    rows = re.findall(r"^([\d.]+) s, .*, ([\d.]+) s of processors", text, re.M)
    return min(float(row[1 if processor else 0]) for row in rows[1:])


def model_folder(vae, folder):
    """A model folder whose VAE is this one and whose other parts are the demo's, which are small."""
    demo = pathlib.Path(__file__).parents[2] / "models/demo"
    for path in demo.resolve().iterdir():
        if path.name != "vae":
            (folder / path.name).symlink_to(path)
    copy.deepcopy(vae).bfloat16().save_pretrained(folder / "vae")  # as FLUX has it


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kontext", required=True, help="path of vae-time")
    parser.add_argument("--sides", default="512,1024")
    parser.add_argument("--tasks", default="encode,decode")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--torch", default="bf16-cl")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--processor-time", action="store_true", help="of one thread, instead of wall time")
    options = parser.parse_args()
    if options.processor_time:
        torch.set_num_threads(1)
    clock = time.process_time if options.processor_time else time.perf_counter
    torch.manual_seed(1)
    vae = AutoencoderKL(**CONFIG).eval()
    with tempfile.TemporaryDirectory() as name:
        model_folder(vae, pathlib.Path(name))
        for side in map(int, options.sides.split(",")):
            for task in options.tasks.split(","):
                theirs = {way: torch_seconds(vae, way, task, side, options.rounds, clock)
                          for way in options.torch.split(",")}
                ours = {precision: kontext_seconds(options.kontext, name, precision, task, side, options.rounds,
                                                   options.processor_time)
                        for precision in options.precision.split(",")}
                for precision, seconds in ours.items():
                    for way, other in theirs.items():
                        print(f"{task} {side}x{side}: PyTorch {way} {other:.2f} s, kontext {precision} {seconds:.2f} s, "
                              f"ratio {other / seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
