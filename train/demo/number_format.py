"""The number format of matrix products in training."""

from __future__ import annotations

import torch


def fastest() -> torch.dtype:
    """BF16 where the processor multiplies it; elsewhere PyTorch would emulate it, far slower than f32."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - no public names
    return torch.bfloat16 if fast else torch.float32


PRODUCTS = fastest()
