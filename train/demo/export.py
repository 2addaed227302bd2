"""Writes a trained model as a folder in the layout of diffusers, in BF16.

    python -m train.demo.export .cache/train-runs/flow.pt models/demo

The folder must hold the VAE and both tokenizers already; the averaged weights of the checkpoint are written beside them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from train.demo.names import State, parts, to_public
from train.demo.networks import GUIDANCE, TEXT_TOKENS, Shape

MAX_BYTES = 16_000_000
PICTURE = 128


def transformer_config(shape: Shape) -> dict[str, object]:
    """The public description of the transformer."""
    return {
        "_class_name": "FluxTransformer2DModel",
        "attention_head_dim": shape.head,
        "axes_dims_rope": list(shape.axes),
        "guidance_embeds": True,
        "in_channels": shape.latent,
        "joint_attention_dim": shape.t5_width,
        "num_attention_heads": shape.heads,
        "num_layers": shape.double,
        "num_single_layers": shape.single,
        "patch_size": 1,
        "pooled_projection_dim": shape.clip_width,
    }


def t5_config(shape: Shape) -> dict[str, object]:
    """The public description of the T5 encoder."""
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "d_ff": shape.t5_mlp,
        "d_kv": shape.t5_width // shape.t5_heads,
        "d_model": shape.t5_width,
        "decoder_start_token_id": 0,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.0,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "is_gated_act": True,
        "layer_norm_epsilon": 1e-6,
        "num_decoder_layers": shape.t5_layers,
        "num_heads": shape.t5_heads,
        "num_layers": shape.t5_layers,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "use_cache": False,
        "vocab_size": shape.t5_vocabulary,
    }


def clip_config(shape: Shape) -> dict[str, object]:
    """The public description of the CLIP text model; end token 2 selects the rule of the largest id."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "attention_dropout": 0.0,
        "bos_token_id": shape.clip_vocabulary - 2,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": shape.clip_width,
        "intermediate_size": shape.clip_mlp,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": shape.clip_tokens,
        "num_attention_heads": shape.clip_heads,
        "num_hidden_layers": shape.clip_layers,
        "pad_token_id": shape.clip_vocabulary - 1,
        "projection_dim": shape.clip_width,
        "vocab_size": shape.clip_vocabulary,
    }


SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
MODEL_INDEX = {
    "_class_name": "FluxKontextPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "image_encoder": [None, None],
    "feature_extractor": [None, None],
}
KONTEXT = {
    "name": "kontext demo",
    "licence": "Apache-2.0",
    "family": "kontext",
    "native_area": PICTURE * PICTURE,
    "preferred_sizes": [[PICTURE, PICTURE]],
    "min_side": 64,
    "max_side": 256,
    "max_text_tokens": TEXT_TOKENS,
    "default_steps": 8,
    "default_guidance": GUIDANCE,
}


def write_json(path: Path, value: object) -> None:
    """Writes one JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def checkpoint_state(path: Path, which: str = "average") -> State:
    """The named values of a checkpoint."""
    saved = torch.load(path, mmap=True)
    out, offset = {}, 0
    for name, shape in saved["slots"]:
        count = torch.Size(shape).numel()
        out[name] = saved[which][offset : offset + count].view(shape).clone()
        offset += count
    return out


def export(state: State, model: Path, shape: Shape) -> int:
    """Writes weights and descriptions; returns the bytes of the whole folder."""
    for folder, (file, prefix, table) in parts(shape).items():
        ours = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        public = {name: value.bfloat16() for name, value in to_public(ours, table, shape).items()}
        (model / folder).mkdir(parents=True, exist_ok=True)
        save_file(public, model / folder / file, metadata={"format": "pt"})
    write_json(model / "transformer" / "config.json", transformer_config(shape))
    write_json(model / "text_encoder" / "config.json", clip_config(shape))
    write_json(model / "text_encoder_2" / "config.json", t5_config(shape))
    write_json(model / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(model / "model_index.json", MODEL_INDEX)
    write_json(model / "kontext.json", KONTEXT)
    return sum(path.stat().st_size for path in model.rglob("*") if path.is_file())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    size = export(checkpoint_state(args.checkpoint), args.model, Shape.of_folder(args.model))
    print(f"{args.model}: {size} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"{size} bytes are more than {MAX_BYTES}")


if __name__ == "__main__":
    main()
