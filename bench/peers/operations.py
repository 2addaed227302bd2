#!/usr/bin/env python3
"""The rows of `kontext bench` in PyTorch, alone or in turn with the program.

    operations.py [--threads N] [--suite PART]                     PyTorch's times
    operations.py --kontext build/kontext [--rounds 3] [...]       both in turn, and the ratio of the best times

Machines are shared and clocks change: only numbers of one run are compared, and each side has its turn in every
round. A ratio above 1 means that kontext is faster.
"""
import argparse
import json
import subprocess
import time

import torch
import torch.nn.functional as F


def linear(tokens, inner, outer, epilogue=None, weights=torch.float32):
    x, bias, gate = torch.rand(tokens, inner) - 0.5, torch.rand(outer), torch.rand(outer)
    w = ((torch.rand(outer, inner) - 0.5) / 8).to(weights)
    y = torch.rand(tokens, outer)
    run = {
        None: lambda: F.linear(x, w.float(), bias),  # float() of an f32 tensor is the tensor itself
        "gelu": lambda: F.gelu(F.linear(x, w, bias), approximate="tanh"),
        "gated add": lambda: torch.addcmul(y, gate, F.linear(x, w, bias)),
    }[epilogue]
    return run, 2 * tokens * inner * outer


def bf16_linear(tokens, inner, outer, epilogue=None):
    """Activations and weights in bf16, as PyTorch's bf16 models have them."""
    x, bias, gate = ((torch.rand(*shape) - 0.5).bfloat16() for shape in ((tokens, inner), (outer,), (outer,)))
    w, y = ((torch.rand(outer, inner) - 0.5) / 8).bfloat16(), torch.rand(tokens, outer).bfloat16()
    run = {
        None: lambda: F.linear(x, w, bias),
        "gelu": lambda: F.gelu(F.linear(x, w, bias), approximate="tanh"),
        "gated add": lambda: torch.addcmul(y, gate, F.linear(x, w, bias)),
    }[epilogue]
    return run, 2 * tokens * inner * outer


def int8_linear(tokens, inner, outer):
    """The sums alone, in int32: no scales, no bias."""
    x = torch.randint(-127, 128, (tokens, inner), dtype=torch.int8)
    w = torch.randint(-127, 128, (outer, inner), dtype=torch.int8).t()
    return lambda: torch._int_mm(x, w), 2 * tokens * inner * outer


def t5(tokens, dtype):
    """Two layers of the XXL encoder's shape."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=512, d_model=4096, d_kv=64, d_ff=10240, num_layers=2, num_heads=64, feed_forward_proj="gated-gelu")
    model, ids = T5EncoderModel(config).eval().to(dtype), torch.arange(tokens)[None] % 500
    products = 2 * tokens * 2 * (4 * 4096 * 4096 + 3 * 4096 * 10240)
    return lambda: model(ids), products + 2 * 4 * tokens * tokens * 4096


def attention(heads, dim, tokens, dtype=torch.float32):
    q, k, v = (torch.rand(1, tokens, heads, dim).to(dtype).transpose(1, 2) for _ in range(3))
    return lambda: F.scaled_dot_product_attention(q, k, v), 4 * tokens * tokens * heads * dim


def conv(inner, outer, side, dtype=torch.float32):
    x = torch.rand(1, inner, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
    w = torch.rand(outer, inner, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(x, w, padding=1), 18 * inner * outer * side * side


def norm(tokens, width):
    x, shift, scale = torch.rand(tokens, width), torch.rand(width), torch.rand(width)
    return lambda: F.layer_norm(x, (width,), eps=1e-6) * (1 + scale) + shift, 0


CASES = {
    "matmul 2560x3072x12288 f32": lambda: linear(2560, 3072, 12288),
    "matmul 2560x3072x12288 f32, weights of bf16": lambda: linear(2560, 3072, 12288, weights=torch.bfloat16),
    "matmul 2560x3072x12288 f32, gelu": lambda: linear(2560, 3072, 12288, "gelu"),
    "matmul 2560x12288x3072 f32, gated add": lambda: linear(2560, 12288, 3072, "gated add"),
    "matmul 2560x15360x3072 f32, gated add": lambda: linear(2560, 15360, 3072, "gated add"),
    "matmul 2560x3072x12288 bf16": lambda: bf16_linear(2560, 3072, 12288),
    "matmul 2560x3072x12288 bf16, gelu": lambda: bf16_linear(2560, 3072, 12288, "gelu"),
    "matmul 2560x15360x3072 bf16, gated add": lambda: bf16_linear(2560, 15360, 3072, "gated add"),
    "matmul 2560x3072x12288 int8": lambda: int8_linear(2560, 3072, 12288),
    "t5 2 layers, 512 tokens, f32": lambda: t5(512, torch.float32),
    "t5 2 layers, 512 tokens, bf16": lambda: t5(512, torch.bfloat16),
    "matmul 512x4096x4096 f32": lambda: linear(512, 4096, 4096),
    "matmul 512x4096x4096 int8": lambda: int8_linear(512, 4096, 4096),
    "attention 24x128, 2560 tokens, f32": lambda: attention(24, 128, 2560),
    "attention 24x128, 2560 tokens, bf16": lambda: attention(24, 128, 2560, torch.bfloat16),
    "attention 24x128, 8704 tokens, f32": lambda: attention(24, 128, 8704),
    "attention 24x128, 8704 tokens, bf16": lambda: attention(24, 128, 8704, torch.bfloat16),
    "attention 1x512, 4096 tokens, f32": lambda: attention(1, 512, 4096),
    "conv 3x3 512->512, 128x128, f32": lambda: conv(512, 512, 128),
    "conv 3x3 512->512, 128x128, bf16, decoder": lambda: conv(512, 512, 128, torch.bfloat16),
    "conv 3x3 512->512, 128x128, bf16, encoder": lambda: conv(512, 512, 128, torch.bfloat16),
    "conv 3x3 128->128, 512x512, f32": lambda: conv(128, 128, 512),
    "conv 3x3 128->128, 512x512, bf16, decoder": lambda: conv(128, 128, 512, torch.bfloat16),
    "conv 3x3 128->128, 512x512, bf16, encoder": lambda: conv(128, 128, 512, torch.bfloat16),
    "gemv 3072x18432 f32": lambda: linear(1, 3072, 18432),
    "gemv 3072x18432 f32, weights of bf16": lambda: linear(1, 3072, 18432, weights=torch.bfloat16),
    "norm and modulate 2560x3072": lambda: norm(2560, 3072),
}


def best_seconds(run, seconds_wanted):
    """Best of at least three calls, after one that does not count."""
    run()
    best, began, calls = float("inf"), time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - began < seconds_wanted:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        calls += 1
    return best


def kontext_seconds(program, name, threads):
    command = [program, "bench", "--suite", name, "--json"]
    if threads:
        command += ["--threads", str(threads)]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rows"]
    return next(row["seconds"] for row in rows if row["name"] == name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kontext", help="path of the kontext program")
    parser.add_argument("--threads", type=int, default=0, help="0: one for each processor")
    parser.add_argument("--suite", default="", help="only the cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'operation':40} {'PyTorch ms':>12} {'GFLOP/s':>9}", end="")
    print(f" {'kontext ms':>12} {'GFLOP/s':>9} {'ratio':>6}" if options.kontext else "")
    for name, make in CASES.items():
        if options.suite not in name:
            continue
        with torch.no_grad():
            run, flops = make()
            theirs = ours = float("inf")
            for _ in range(options.rounds if options.kontext else 1):
                theirs = min(theirs, best_seconds(run, 1.0))
                if options.kontext:
                    ours = min(ours, kontext_seconds(options.kontext, name, options.threads))
        line = f"{name:40} {1e3 * theirs:12.3f} {1e-9 * flops / theirs:9.1f}"
        if options.kontext:
            line += f" {1e3 * ours:12.3f} {1e-9 * flops / ours:9.1f} {theirs / ours:6.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
