"""Between the names and layouts of `networks.py` and `encoders.py` and those of the public packages.

A table says, for each of our tensors, which public tensors it holds and how: stacked along the first axis, transposed,
or with the features of each head reordered. Both directions read the same table.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from train.demo.networks import Shape

State = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tensor of ours: its public pieces with their rows, and the changes of layout."""

    ours: str
    pieces: tuple[tuple[str, int], ...]
    transposed: bool = False
    reordered_rows: int = 0  # so many leading rows are features of query and key heads


def _linear(ours: str, pieces: list[tuple[str, int]], bias: bool = True, reordered: int = 0) -> list[Entry]:
    """Entries of a linear layer stacked from public ones."""
    kinds = ("weight", "bias") if bias else ("weight",)
    return [
        Entry(f"{ours}.{kind}", tuple((f"{name}.{kind}", rows) for name, rows in pieces), reordered_rows=reordered)
        for kind in kinds
    ]


def _narrow(ours: str, public: str, rows: int) -> list[Entry]:
    """Entries of a layer that we store as [in, out]."""
    return [
        Entry(f"{ours}.weight", ((f"{public}.weight", rows),), transposed=True),
        Entry(f"{ours}.bias", ((f"{public}.bias", rows),)),
    ]


def _stream(ours: str, public: str, names: dict[str, str], width: int, head: int) -> list[Entry]:
    """One stream of a double block."""
    attn = f"{public}.attn."
    return [
        *_linear(f"{ours}.modulation", [(f"{public}.{names['norm']}.linear", 6 * width)]),
        *_linear(f"{ours}.qkv", [(attn + names[part], width) for part in "qkv"], reordered=2 * width),
        Entry(f"{ours}.heads.q", ((attn + names["norm_q"] + ".weight", head),), reordered_rows=head),
        Entry(f"{ours}.heads.k", ((attn + names["norm_k"] + ".weight", head),), reordered_rows=head),
        *_linear(f"{ours}.project", [(attn + names["out"], width)]),
        *_linear(f"{ours}.mlp_in", [(f"{public}.{names['mlp']}.net.0.proj", 4 * width)]),
        *_narrow(f"{ours}.mlp_out", f"{public}.{names['mlp']}.net.2", width),
    ]


IMAGE_NAMES = {"norm": "norm1", "q": "to_q", "k": "to_k", "v": "to_v", "norm_q": "norm_q", "norm_k": "norm_k"} | {
    "out": "to_out.0",
    "mlp": "ff",
}
TEXT_NAMES = {"norm": "norm1_context", "q": "add_q_proj", "k": "add_k_proj", "v": "add_v_proj"} | {
    "norm_q": "norm_added_q",
    "norm_k": "norm_added_k",
    "out": "to_add_out",
    "mlp": "ff_context",
}


def transformer_table(shape: Shape) -> list[Entry]:
    """The transformer, in the names of diffusers."""
    width, head = shape.width, shape.head
    table = [
        *_linear("image_in", [("x_embedder", width)]),
        *_linear("text_in", [("context_embedder", width)]),
        *_linear("final_modulation", [("norm_out.linear", 2 * width)]),
        *_linear("final", [("proj_out", shape.latent)]),
    ]
    for ours, public in (("time", "timestep"), ("guidance", "guidance"), ("pooled", "text")):
        table += _linear(f"{ours}.first", [(f"time_text_embed.{public}_embedder.linear_1", width)])
        table += _linear(f"{ours}.second", [(f"time_text_embed.{public}_embedder.linear_2", width)])
    for i in range(shape.double):
        table += _stream(f"doubles.{i}.image", f"transformer_blocks.{i}", IMAGE_NAMES, width, head)
        table += _stream(f"doubles.{i}.text", f"transformer_blocks.{i}", TEXT_NAMES, width, head)
    for i in range(shape.single):
        ours, public = f"singles.{i}", f"single_transformer_blocks.{i}"
        first = [(f"{public}.attn.to_{part}", width) for part in "qkv"] + [(f"{public}.proj_mlp", 4 * width)]
        table += _linear(f"{ours}.modulation", [(f"{public}.norm.linear", 3 * width)])
        table += _linear(f"{ours}.first", first, reordered=2 * width)
        table.append(Entry(f"{ours}.heads.q", ((f"{public}.attn.norm_q.weight", head),), reordered_rows=head))
        table.append(Entry(f"{ours}.heads.k", ((f"{public}.attn.norm_k.weight", head),), reordered_rows=head))
        table += _narrow(f"{ours}.second", f"{public}.proj_out", width)
    return table


def t5_table(shape: Shape) -> list[Entry]:
    """The T5 encoder, in the names of transformers."""
    width, mlp = shape.t5_width, shape.t5_mlp
    table = [
        Entry("embedding", (("shared.weight", shape.t5_vocabulary),)),
        Entry("bias", (("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 32),)),
        Entry("norm", (("encoder.final_layer_norm.weight", width),)),
    ]
    for i in range(shape.t5_layers):
        ours, first, second = f"layers.{i}", f"encoder.block.{i}.layer.0", f"encoder.block.{i}.layer.1"
        gates = [(f"{second}.DenseReluDense.wi_{k}", mlp) for k in (0, 1)]
        table += [
            Entry(f"{ours}.norm1", ((f"{first}.layer_norm.weight", width),)),
            Entry(f"{ours}.norm2", ((f"{second}.layer_norm.weight", width),)),
            *_linear(f"{ours}.qkv", [(f"{first}.SelfAttention.{part}", width) for part in "qkv"], bias=False),
            *_linear(f"{ours}.out", [(f"{first}.SelfAttention.o", width)], bias=False),
            *_linear(f"{ours}.gate_up", gates, bias=False),
            *_linear(f"{ours}.down", [(f"{second}.DenseReluDense.wo", width)], bias=False),
        ]
    return table


def clip_table(shape: Shape) -> list[Entry]:
    """The CLIP text model, in the names of transformers."""
    width, root = shape.clip_width, "text_model."
    table = [
        Entry("embedding", ((root + "embeddings.token_embedding.weight", shape.clip_vocabulary),)),
        Entry("positions", ((root + "embeddings.position_embedding.weight", shape.clip_tokens),)),
        *_linear("norm", [(root + "final_layer_norm", width)]),
    ]
    for i in range(shape.clip_layers):
        ours, public = f"layers.{i}", f"{root}encoder.layers.{i}"
        table += [
            *_linear(f"{ours}.norm1", [(f"{public}.layer_norm1", width)]),
            *_linear(f"{ours}.norm2", [(f"{public}.layer_norm2", width)]),
            *_linear(f"{ours}.qkv", [(f"{public}.self_attn.{part}_proj", width) for part in "qkv"]),
            *_linear(f"{ours}.out", [(f"{public}.self_attn.out_proj", width)]),
            *_linear(f"{ours}.up", [(f"{public}.mlp.fc1", shape.clip_mlp)]),
            *_linear(f"{ours}.down", [(f"{public}.mlp.fc2", width)]),
        ]
    return table


def _order(rows: int, head: int) -> Tensor:
    """Public row of each of our rows: in every head the even features, then the odd ones."""
    within = torch.cat((torch.arange(0, head, 2), torch.arange(1, head, 2)))
    return (torch.arange(0, rows, head)[:, None] + within).flatten()


def to_public(state: State, table: list[Entry], shape: Shape) -> State:
    """Our tensors under public names and in the public layout."""
    out: State = {}
    for entry in table:
        value = state[entry.ours]
        if entry.transposed:
            value = value.t()
        if entry.reordered_rows:
            public = value.clone()
            public[_order(entry.reordered_rows, shape.head)] = value[: entry.reordered_rows]
            value = public
        for (name, rows), part in zip(entry.pieces, value.split([rows for _, rows in entry.pieces]), strict=True):
            assert part.shape[0] == rows
            out[name] = part.contiguous()
    return out


def from_public(state: State, table: list[Entry], shape: Shape) -> State:
    """The other way round."""
    out: State = {}
    for entry in table:
        value = torch.cat([state[name] for name, _ in entry.pieces])
        if entry.reordered_rows:
            order = _order(entry.reordered_rows, shape.head)
            value = torch.cat((value[order], value[entry.reordered_rows :]))
        out[entry.ours] = value.t().contiguous() if entry.transposed else value
    return out


def parts(shape: Shape) -> dict[str, tuple[str, str, list[Entry]]]:
    """Folder of each trained part: its file, the prefix of our names, its table."""
    return {
        "transformer": ("diffusion_pytorch_model.safetensors", "transformer.", transformer_table(shape)),
        "text_encoder": ("model.safetensors", "text.clip.", clip_table(shape)),
        "text_encoder_2": ("model.safetensors", "text.t5.", t5_table(shape)),
    }


def read_folder(model: Path, shape: Shape) -> State:
    """The trained parts of an exported folder, under our names."""
    out: State = {}
    for folder, (file, prefix, table) in parts(shape).items():
        ours = from_public(load_file(model / folder / file), table, shape)
        out |= {prefix + name: value for name, value in ours.items()}
    return out
