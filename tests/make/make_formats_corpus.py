#!/usr/bin/env python3
"""Writes the seeds of the fuzzers of model files: tests/fuzz/corpus/safetensors and tests/fuzz/corpus/configs.

    python3 tests/make/make_formats_corpus.py
"""
import json
import pathlib
import struct

corpus = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"
SIZE = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "U8": 1, "I64": 8, "F64": 8}


def tensors(rows, metadata=None):
    """rows: name -> (dtype, shape, bytes or None)"""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in rows.items():
        count = SIZE[dtype]
        for extent in shape:
            count *= extent
        content = bytes(range(count)) if content is None else content
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


QUANT = b'{"format":"float8_e4m3fn"}'
D, S = "transformer_blocks.0.attn.", "single_transformer_blocks.0.attn."
safetensors = {
    "empty": tensors({}),
    "types": tensors({t: (t, [2], None) for t in SIZE}, {"format": "pt"}),
    "scalar": tensors({"s": ("F32", [], None), "none": ("F32", [0, 3], None), "deep": ("U8", [1] * 8, None)}),
    "bfl": tensors({
        "model.diffusion_model.img_in.weight": ("BF16", [2, 2], None),
        "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.weight": ("BF16", [2], None),
        "model.diffusion_model.scaled_fp8": ("F8_E4M3", [2], None),
        "vae.decoder.mid.attn_1.q.weight": ("F32", [1, 1, 1, 1], None),
        "vae.decoder.up.0.block.0.conv1.weight": ("F32", [1, 1, 1, 1], None)}),
    "diffusers": tensors({
        "x_embedder.weight": ("F8_E4M3", [2, 2], None),
        "x_embedder.weight_scale": ("F32", [], None),
        "x_embedder.comfy_quant": ("U8", [len(QUANT)], QUANT),
        **{D + n + ".weight": ("BF16", [1, 2], None) for n in ("to_q", "to_k", "to_v")},
        **{S + n + ".weight": ("F16", [1, 2], None) for n in ("to_q", "to_k", "to_v")},
        "single_transformer_blocks.0.proj_mlp.weight": ("F32", [2, 2], None),
        "norm_out.linear.weight": ("F32", [2, 1], None)},
        {"_quantization_metadata": '{"layers":{"x_embedder":{"format":"float8_e4m3fn"}}}'}),
    "vae": tensors({
        "decoder.up_blocks.3.resnets.0.conv1.weight": ("F32", [1, 1, 1, 1], None),
        "decoder.mid_block.attentions.0.to_q.weight": ("F32", [1, 1], None)}),
    "text": tensors({
        "text_model.embeddings.token_embedding.weight": ("F16", [2, 2], None),
        "text_model.embeddings.position_ids": ("I64", [1], None),
        "encoder.embed_tokens.weight": ("F16", [2, 2], None)}),
    "huge_header": struct.pack("<Q", 1 << 60) + b"{}",
    "truncated": tensors({"a": ("F32", [4], None)})[:-3],
}
# The first byte chooses the file: transformer, vae, clip, t5, scheduler, kontext, model_index.
configs = {
    "transformer": b"\0" + json.dumps({
        "_class_name": "FluxTransformer2DModel", "attention_head_dim": 32, "axes_dims_rope": [4, 14, 14],
        "guidance_embeds": True, "in_channels": 64, "num_attention_heads": 3, "patch_size": 1}).encode(),
    "vae": b"\1" + json.dumps({
        "_class_name": "AutoencoderKL", "act_fn": "silu", "latent_channels": 16, "layers_per_block": 2,
        "norm_num_groups": 32, "scaling_factor": 0.3611, "shift_factor": None, "use_quant_conv": False}).encode(),
    "clip": b"\2" + json.dumps({
        "eos_token_id": 2, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "max_position_embeddings": 77,
        "num_attention_heads": 12}).encode(),
    "t5": b"\3" + json.dumps({
        "d_kv": 64, "dense_act_fn": "gelu_new", "feed_forward_proj": "gated-gelu", "is_gated_act": True,
        "layer_norm_epsilon": 1e-6, "num_heads": 64, "relative_attention_max_distance": 128}).encode(),
    "scheduler": b"\4" + json.dumps({
        "_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 256, "base_shift": 0.5,
        "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 3.0,
        "shift_terminal": None, "use_dynamic_shifting": True, "use_karras_sigmas": False}).encode(),
    "kontext": b"\5" + json.dumps({
        "name": "demo", "licence": "CC0-1.0", "family": "kontext", "native_area": 16384,
        "preferred_sizes": [[128, 128], [160, 112]], "min_side": 16, "max_side": 512, "max_text_tokens": 64,
        "default_steps": 4, "default_guidance": 2.5}).encode(),
    "model_index": b"\6" + json.dumps({"_class_name": "FluxKontextPipeline", "vae": ["diffusers", "AutoencoderKL"]}).encode(),
}
for folder, seeds in (("safetensors", safetensors), ("configs", configs)):
    (corpus / folder).mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (corpus / folder / name).write_bytes(content)
