"""Trains the autoencoder.

    python -m train.demo.vae train --steps 5000      # resumes from the checkpoint in the working folder; see --work
    python -m train.demo.vae decoder --steps 700     # then the decoder alone: latents stay what they are
    python -m train.demo.vae decoder --work .cache/train-runs/own --from models/demo/vae --own .cache/train-runs/own.pt --batch 8

The loss is mean absolute error, squared error and the absolute error of the horizontal and vertical differences (which
keeps outlines sharp), and a little KL on a sampled posterior, so that the decoder tolerates small errors in latents. The
posterior starts narrow (log variance -4). With `--own` half of the decoder's pictures are decoded from latents that the
flow model made (`own_latents_make.py`), and have to become the right answer: so the decoder learns to decide where such a latent
is between two things. Convolutions learn by Muon, everything else by AdamW. The pictures of step s
are drawn from the seed (seed, s): a resumed run draws what an uninterrupted one would. Each worker process is one thread
with its share of the batch, and gradients are averaged: one thread each wastes less than threads that wait for each other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import AutoencoderKL

from .draw import draw
from .muon import Muon
from .own_latents import OwnLatents
from .scenes import (
    HATS,
    OBJECTS,
    Scene,
    Thing,
    is_clear,
    is_held_out,
    item_scene,
    pick,
    random_background,
    random_character,
    random_scene,
    random_thing,
    with_character,
    MOODS,
)

CHANNELS = (16, 32, 64, 64)
LATENT_CHANNELS = 16
EMA = 0.998
MUON_LR = 0.02
ADAM_LR = 2e-3
FLAT_SHARE = 0.5  # of the steps at the full learning rate; then it falls in a line
LAST_LR = 0.02  # of the full rate
DRAWINGS = 0.12  # share of drawings among the pictures
DECODER_RATE = 0.4  # of the full rate, when the decoder alone goes on
DECODER_DRAWINGS = 0.3  # share of drawings then; they are the hardest
KL_WEIGHT = 1e-3


@dataclass(frozen=True)
class Options:
    """How to train."""

    work: Path
    steps: int
    batch: int = 4
    seed: int = 1
    workers: int = 2
    decoder_only: bool = False
    source: Path | None = None  # an exported folder that the decoder's stage starts from, instead of vae.pt
    own: Path | None = None  # latents of the flow model, for half of each batch of the decoder's stage


def build() -> AutoencoderKL:
    """The network, with random weights."""
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    with torch.no_grad():
        model.encoder.conv_out.bias[LATENT_CHANNELS:].fill_(-4.0)
        model.encoder.conv_out.weight[LATENT_CHANNELS:].mul_(0.1)
    return model


def training_scene(rng: np.random.Generator, drawings: float = DRAWINGS) -> Scene:
    """Any picture that an edit may show, small things more often than edits have them. `drawings`: share of that style."""
    while True:
        draw_ = rng.random()
        style = "drawing" if rng.random() < drawings else "flat"
        mood = pick(rng, MOODS) if style == "drawing" or rng.random() < 0.3 else "day"
        if draw_ < 0.12:
            scene = item_scene(rng, random_thing(rng, HATS if rng.random() < 0.4 else OBJECTS))
        elif draw_ < 0.20:
            scene = replace(random_background(rng), mood=mood, style=style)
        elif draw_ < 0.45:
            pair = (random_character(rng, hat=0.45, held=0.4), random_character(rng, hat=0.45, held=0.4))
            scene = replace(random_background(rng), characters=pair, hug=bool(rng.random() < 0.4), mood=mood, style=style)
        else:
            scene = replace(random_scene(rng, hat=0.5, held=0.5, ground=0.3, mood=0, style=0), mood=mood, style=style)
            if rng.random() < 0.12:
                cup = Thing("juice", random_thing(rng, OBJECTS).color)
                scene = with_character(scene, held=cup, drinking=True)
        if is_clear(scene) and not is_held_out(scene):
            return scene


def to_tensor(pictures: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
    """uint8 [128, 128, 3] pictures -> (B, 3, 128, 128) f32 in [-1, 1]."""
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous()


def to_pictures(x: torch.Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] -> uint8 [B, H, W, 3]."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def _own_batch(own: OwnLatents, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random latents of the flow model and the pictures that they should be."""
    latents, pictures = zip(*(own.pair(number) for number in own.pick(count, rng)), strict=True)
    return torch.stack(latents), to_tensor(pictures)


def _loss(
    model: AutoencoderKL, x: torch.Tensor, noise: torch.Generator, own: tuple[torch.Tensor, torch.Tensor] | None
) -> tuple[torch.Tensor, float]:
    """Of the round trip of `x` and of the decoding of `own`; and the squared error of the former."""
    with torch.autocast("cpu", torch.bfloat16):
        moments = model.encoder(x)
    mean, logvar = moments.float().chunk(2, dim=1)
    logvar = logvar.clamp(-12, 4)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    z = mean + (0.5 * logvar).exp() * torch.randn(mean.shape, generator=noise)
    count = len(x)
    if own is not None:
        z, x = torch.cat((z, own[0])), torch.cat((x, own[1]))
    with torch.autocast("cpu", torch.bfloat16):
        y = model.decoder(z)
    e = y.float() - x
    slopes = e.diff(dim=2).abs().mean() + e.diff(dim=3).abs().mean()
    loss = e.abs().mean() + 4 * e.square().mean() + 0.5 * slopes + KL_WEIGHT * kl
    return loss, float(e[:count].detach().square().mean())


def _split(model: AutoencoderKL) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Parameters for Muon and for AdamW."""
    matrices, rest = [], []
    for name, p in model.named_parameters():
        ends = name.startswith(("encoder.conv_in", "decoder.conv_out"))
        if p.requires_grad:
            (matrices if p.ndim == 4 and not ends else rest).append(p)
    return matrices, rest


def _rate(step: int, steps: int) -> float:
    flat = FLAT_SHARE * steps
    warm = min(1.0, (step + 1) / 50)
    return warm if step < flat else max(LAST_LR, 1 - (1 - LAST_LR) * (step - flat) / (steps - flat))


def _average_gradients(parameters: list[torch.nn.Parameter], workers: int) -> None:
    """Replaces every gradient by its mean over the workers."""
    if workers == 1:
        return
    flat = torch.cat([p.grad.reshape(-1) for p in parameters])
    dist.all_reduce(flat)
    flat /= workers
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(part.view_as(p))


def _work(rank: int, options: Options) -> None:
    """One worker of `train`; worker 0 reports and saves."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    work, steps, workers = options.work, options.steps, options.workers
    if workers > 1:
        meeting = f"file://{(work / 'meeting').resolve()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=workers)
    model = build()
    path = work / ("vae-decoder.pt" if options.decoder_only else "vae.pt")
    if options.decoder_only:
        source = options.source
        model.load_state_dict(AutoencoderKL.from_pretrained(source).state_dict() if source else torch.load(work / "vae.pt")["ema"])
        model.encoder.requires_grad_(False)
    ema = {k: v.clone() for k, v in model.state_dict().items()}
    matrices, rest = _split(model)
    muon = Muon(matrices)
    adam = torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=0.0)
    step, minutes = 0, 0.0
    if path.exists():
        saved = torch.load(path)
        model.load_state_dict(saved["model"])
        ema = saved["ema"]
        muon.load_state_dict(saved["muon"])
        adam.load_state_dict(saved["adam"])
        step, minutes = saved["step"], saved["minutes"]
    own_latents = OwnLatents(options.own) if options.own else None
    full, drawings = (DECODER_RATE, DECODER_DRAWINGS) if options.decoder_only else (1.0, DRAWINGS)
    start, shown, squared_sum = time.monotonic(), step, 0.0
    while step < steps:
        rng = np.random.default_rng((options.seed + 100 * options.decoder_only, step, rank))
        count = options.batch // workers
        own_count = count // 2 if own_latents else 0
        own = _own_batch(own_latents, own_count, rng) if own_latents else None
        x = to_tensor([draw(training_scene(rng, drawings)) for _ in range(count - own_count)])
        loss, squared = _loss(model, x, torch.Generator().manual_seed(int(rng.integers(1 << 60))), own)
        muon.zero_grad()
        adam.zero_grad()
        loss.backward()
        _average_gradients(matrices + rest, workers)
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        rate = full * _rate(step, steps)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = MUON_LR * rate, ADAM_LR * rate
        muon.step()
        adam.step()
        step += 1
        decay = min(EMA, step / (step + 10))
        for k, v in model.state_dict().items():
            ema[k].lerp_(v, 1 - decay)
        squared_sum += squared
        if rank != 0:
            continue
        if step % 100 == 0 or step == steps:
            psnr = 10 * np.log10(4 * (step - shown) / squared_sum)
            spent = minutes + (time.monotonic() - start) / 60
            print(f"step {step} of {steps}  {psnr:.2f} dB  {spent:.1f} min", flush=True)
            shown, squared_sum = step, 0.0
        if step % 500 == 0 or step == steps:
            spent = minutes + (time.monotonic() - start) / 60
            state = {"model": model.state_dict(), "ema": ema, "muon": muon.state_dict(), "adam": adam.state_dict()}
            torch.save(state | {"step": step, "minutes": spent}, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)


def train(options: Options) -> None:
    """Trains to `steps`, from the checkpoint if there is one."""
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "meeting").unlink(missing_ok=True)
    mp.spawn(_work, (options,), nprocs=options.workers)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["train", "decoder"])
    parser.add_argument("--work", type=Path, default=Path(".cache/train-runs"), help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--from", type=Path, dest="source", help="decoder: start from an exported folder, not from vae.pt")
    parser.add_argument("--own", type=Path, help="decoder: latents that the flow model made, see own_latents_make.py")
    args = parser.parse_args()
    decoder_only = args.command == "decoder"
    if decoder_only and not args.source and not (args.work / "vae.pt").exists():
        raise SystemExit(f"there is no {args.work / 'vae.pt'}: train first, or name an exported folder with --from")
    if args.own and not (decoder_only and args.own.exists() and args.batch >= 2 * args.workers):
        raise SystemExit(f"--own {args.own}: an existing file, for `decoder`, with two pictures of a batch for each worker at least")
    train(Options(args.work, args.steps, args.batch, args.seed, args.workers, decoder_only, args.source, args.own))


if __name__ == "__main__":
    main()
