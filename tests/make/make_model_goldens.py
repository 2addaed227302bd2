#!/usr/bin/env python3
"""Reference values of four very small networks, from the formulas, in float64. Usage: make_model_goldens.py OUT.json

Needs numpy. Parameters are not stored: they follow from an integer hash (`hashed`), which the test repeats; all are
bf16 numbers. The networks have odd sizes on purpose (widths that are no multiple of a vector, unequal heads and axes).
"""
import json
import sys

import numpy as np


def hashed(n, k):
    j = np.arange(n, dtype=np.uint32)
    h = j * np.uint32(2654435761) + np.uint32((k * 2654435769 + 12345) & 0xffffffff)
    h ^= h >> np.uint32(16)
    h *= np.uint32(2246822507)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489909)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1)


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x7fff) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xffff0000)
    return bits.view(np.float32).astype(np.float64)


class Fill:
    def __init__(self, first):
        self.k, self.list, self.values = first, [], {}

    def add(self, name, shape, kind, gain=1.0):
        v = hashed(int(np.prod(shape)), self.k)
        if kind == "matrix":
            v = v * np.float32(gain * np.sqrt(3.0 / np.prod(shape[1:])))
        elif kind == "input":
            v = v * np.float32(gain * np.sqrt(3.0))
        elif kind == "bias":
            v = v * np.float32(0.1)
        else:
            v = np.float32(1) + v * np.float32(0.1)
        self.list.append([self.k, name, list(shape), kind, gain])
        self.values[name] = bf16(v).reshape(shape)
        self.k += 1
        return self.values[name]

    def linear(self, name, rows, cols):
        self.add(name + ".weight", [rows, cols], "matrix")
        self.add(name + ".bias", [rows], "bias")

    def conv(self, name, out, into, k):
        self.add(name + ".weight", [out, into, k, k], "matrix")
        self.add(name + ".bias", [out], "bias")

    def norm(self, name, width):
        self.add(name + ".weight", [width], "scale")
        self.add(name + ".bias", [width], "bias")

    def __getitem__(self, name):
        return self.values[name]


def apply(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w.values else y


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def layer_norm(x, eps):
    m = x.mean(-1, keepdims=True)
    return (x - m) / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + eps)


def rms(x, eps=1e-6):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def heads_of(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(1, 0, 2)


def attention(q, k, v, scale, bias=0.0):
    return (softmax(q @ k.transpose(0, 2, 1) * scale + bias) @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)


def clip():
    V, P, h, heads, mlp, layers = 40, 12, 18, 3, 26, 2
    f = Fill(0)
    f.add("embeddings.token_embedding.weight", [V, h], "input", 0.5)
    f.add("embeddings.position_embedding.weight", [P, h], "input", 0.2)
    for i in range(layers):
        p = "encoder.layers.%d." % i
        f.norm(p + "layer_norm1", h)
        for n in "q", "k", "v", "out":
            f.linear(p + "self_attn.%s_proj" % n, h, h)
        f.norm(p + "layer_norm2", h)
        f.linear(p + "mlp.fc1", mlp, h)
        f.linear(p + "mlp.fc2", h, mlp)
    f.norm("final_layer_norm", h)
    ids = [5, 17, 3, 3, 22, 39, 30, 39, 39, 39]

    def norm(name, x):
        return layer_norm(x, 1e-5) * f[name + ".weight"] + f[name + ".bias"]

    def pooled(at):
        x = f["embeddings.token_embedding.weight"][ids] + f["embeddings.position_embedding.weight"][:len(ids)]
        mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
        for i in range(layers):
            p = "encoder.layers.%d." % i
            y = norm(p + "layer_norm1", x)
            q, k, v = (heads_of(apply(f, p + "self_attn.%s_proj" % n, y), heads) for n in "qkv")
            x = x + apply(f, p + "self_attn.out_proj", attention(q, k, v, (h // heads) ** -0.5, mask))
            y = apply(f, p + "mlp.fc1", norm(p + "layer_norm2", x))
            x = x + apply(f, p + "mlp.fc2", y / (1 + np.exp(-1.702 * y)))
        return norm("final_layer_norm", x)[at].tolist()

    return {"tensors": f.list, "ids": ids, "heads": heads, "pooled_of_largest": pooled(5), "pooled_of_30": pooled(6)}


def bucket(r):
    n, b = abs(r), 16 if r > 0 else 0
    starts = [12, 16, 23, 32, 46, 64, 91]  # where buckets 9, 10, ... 15 begin
    return b + (n if n < 8 else 8 + sum(n >= s for s in starts))


def t5():
    V, h, heads, d, hidden, blocks, T = 30, 14, 3, 6, 22, 2, 100
    f = Fill(200)
    f.add("shared.weight", [V, h], "input")
    for i in range(blocks):
        p = "encoder.block.%d.layer." % i
        for n in "q", "k", "v":
            f.add(p + "0.SelfAttention.%s.weight" % n, [heads * d, h], "matrix", 0.5 if n == "q" else 1.0)
        f.add(p + "0.SelfAttention.o.weight", [h, heads * d], "matrix")
        if i == 0:
            f.add(p + "0.SelfAttention.relative_attention_bias.weight", [32, heads], "input", 0.7)
        f.add(p + "0.layer_norm.weight", [h], "scale")
        for n, s in (("wi_0", [hidden, h]), ("wi_1", [hidden, h]), ("wo", [h, hidden])):
            f.add(p + "1.DenseReluDense.%s.weight" % n, s, "matrix")
        f.add(p + "1.layer_norm.weight", [h], "scale")
    f.add("encoder.final_layer_norm.weight", [h], "scale")
    ids = [(7 * i * i + 3) % V for i in range(T)]
    index = np.array([[bucket(k - q) for k in range(T)] for q in range(T)])
    bias = f["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"][index].transpose(2, 0, 1)
    x = f["shared.weight"][ids]
    for i in range(blocks):
        p = "encoder.block.%d.layer." % i
        y = rms(x) * f[p + "0.layer_norm.weight"]
        q, k, v = (heads_of(apply(f, p + "0.SelfAttention." + n, y), heads) for n in "qkv")
        x = x + apply(f, p + "0.SelfAttention.o", attention(q, k, v, 1.0, bias))
        y = rms(x) * f[p + "1.layer_norm.weight"]
        p += "1.DenseReluDense."
        x = x + apply(f, p + "wo", gelu(apply(f, p + "wi_0", y)) * apply(f, p + "wi_1", y))
    out = rms(x) * f["encoder.final_layer_norm.weight"]
    return {"tensors": f.list, "ids": ids, "embeddings": out.tolist()}


GROUPS = 2


def conv(w, name, x, stride=1, pad=(1, 1)):
    """x (C,H,W); pad: zeros before and after each axis"""
    k = w[name + ".weight"]
    size = k.shape[2]
    if size == 1:
        pad = (0, 0)
    x = np.pad(x, ((0, 0), pad, pad))
    H, W = (x.shape[1] - size) // stride + 1, (x.shape[2] - size) // stride + 1
    y = sum(np.einsum("oc,chw->ohw", k[:, :, i, j], x[:, i:i + stride * H:stride, j:j + stride * W:stride])
            for i in range(size) for j in range(size))
    return y + w[name + ".bias"][:, None, None]


def group_norm(w, name, x):
    g = x.reshape(GROUPS, -1)
    m = g.mean(1, keepdims=True)
    y = ((g - m) / np.sqrt(((g - m) ** 2).mean(1, keepdims=True) + 1e-6)).reshape(x.shape)
    return y * w[name + ".weight"][:, None, None] + w[name + ".bias"][:, None, None]


def block(w, p, x):
    y = conv(w, p + ".conv1", silu(group_norm(w, p + ".norm1", x)))
    y = conv(w, p + ".conv2", silu(group_norm(w, p + ".norm2", y)))
    return y + (conv(w, p + ".nin_shortcut", x) if p + ".nin_shortcut.weight" in w.values else x)


def middle(w, half, x):
    x = block(w, half + ".mid.block_1", x)
    y = group_norm(w, half + ".mid.attn_1.norm", x)
    q, k, v = (conv(w, half + ".mid.attn_1." + n, y).reshape(1, x.shape[0], -1).transpose(0, 2, 1) for n in "qkv")
    a = attention(q, k, v, x.shape[0] ** -0.5).T.reshape(x.shape)
    return block(w, half + ".mid.block_2", x + conv(w, half + ".mid.attn_1.proj_out", a))


def vae():
    widths, z, scaling, shift = [6, 10, 8], 3, 0.7, 0.2
    f = Fill(400)

    def add_block(name, i, o):
        f.norm(name + ".norm1", i)
        f.conv(name + ".conv1", o, i, 3)
        f.norm(name + ".norm2", o)
        f.conv(name + ".conv2", o, o, 3)
        if i != o:
            f.conv(name + ".nin_shortcut", o, i, 1)

    def add_half(half, stack, levels, blocks, resample, into, out):
        first = widths[levels[0]]
        f.conv(half + ".conv_in", first, into, 3)
        c = first
        for l in levels:
            for j in range(blocks):
                add_block("%s.%s.%d.block.%d" % (half, stack, l, j), c, widths[l])
                c = widths[l]
            if l != levels[-1]:
                f.conv("%s.%s.%d.%s.conv" % (half, stack, l, resample), c, c, 3)
        m = widths[-1]
        add_block(half + ".mid.block_1", m, m)
        f.norm(half + ".mid.attn_1.norm", m)
        for n in "q", "k", "v", "proj_out":
            f.conv(half + ".mid.attn_1." + n, m, m, 1)
        add_block(half + ".mid.block_2", m, m)
        f.norm(half + ".norm_out", c)
        f.conv(half + ".conv_out", out, c, 3)

    add_half("encoder", "down", [0, 1, 2], 1, "downsample", 3, 2 * z)
    add_half("decoder", "up", [2, 1, 0], 2, "upsample", z, 3)
    H, W = 12, 20
    image = f.add("image", [H, W, 3], "input", 0.5)
    x = conv(f, "encoder.conv_in", image.transpose(2, 0, 1))
    for l in range(3):
        x = block(f, "encoder.down.%d.block.0" % l, x)
        if l < 2:
            x = conv(f, "encoder.down.%d.downsample.conv" % l, x, 2, (0, 1))
    x = middle(f, "encoder", x)
    moments = conv(f, "encoder.conv_out", silu(group_norm(f, "encoder.norm_out", x)))
    latent = scaling * (moments[:z] - shift)
    x = middle(f, "decoder", conv(f, "decoder.conv_in", latent / scaling + shift))
    for l in (2, 1, 0):
        for j in range(2):
            x = block(f, "decoder.up.%d.block.%d" % (l, j), x)
        if l:
            x = conv(f, "decoder.up.%d.upsample.conv" % l, x.repeat(2, 1).repeat(2, 2))
    out = conv(f, "decoder.conv_out", silu(group_norm(f, "decoder.norm_out", x)))
    return {"tensors": f.list, "groups": GROUPS, "scaling": scaling, "shift": shift, "height": H, "width": W,
            "latent": latent.transpose(1, 2, 0).tolist(), "decoded": out.transpose(1, 2, 0).tolist()}


def sinusoid(s, n):
    half = n // 2
    frequency = np.exp((np.float32(-np.log(10000.0)) * np.arange(half, dtype=np.float32) / np.float32(half)).astype(np.float64))
    a = (np.float32(1000) * np.float32(s) * frequency.astype(np.float32)).astype(np.float64)
    return np.concatenate([np.cos(a), np.sin(a)])


def mmdit():
    d, heads, mlp, channels, context, pooled, freq = 10, 3, 44, 6, 13, 5, 12
    axes, theta, depth, singles = [2, 2, 6], 500.0, 2, 2
    h, T, L, R = d * heads, 5, 6, 4
    f = Fill(800)
    f.linear("img_in", h, channels)
    f.linear("txt_in", h, context)
    for n, c in (("time_in", freq), ("guidance_in", freq), ("vector_in", pooled)):
        f.linear(n + ".in_layer", h, c)
        f.linear(n + ".out_layer", h, h)
    for i in range(depth):
        for s in "img", "txt":
            p = "double_blocks.%d.%s_" % (i, s)
            f.linear(p + "mod.lin", 6 * h, h)
            f.linear(p + "attn.qkv", 3 * h, h)
            f.add(p + "attn.norm.query_norm.scale", [d], "scale")
            f.add(p + "attn.norm.key_norm.scale", [d], "scale")
            f.linear(p + "attn.proj", h, h)
            f.linear(p + "mlp.0", mlp, h)
            f.linear(p + "mlp.2", h, mlp)
    for i in range(singles):
        p = "single_blocks.%d." % i
        f.linear(p + "modulation.lin", 3 * h, h)
        f.linear(p + "linear1", 3 * h + mlp, h)
        f.linear(p + "linear2", h, h + mlp)
        f.add(p + "norm.query_norm.scale", [d], "scale")
        f.add(p + "norm.key_norm.scale", [d], "scale")
    f.linear("final_layer.adaLN_modulation.1", 2 * h, h)
    f.linear("final_layer.linear", channels, h)
    text, vector = f.add("context", [T, context], "input"), f.add("pooled", [1, pooled], "input")
    target, refs = f.add("target", [L, channels], "input"), f.add("references", [R, channels], "input")
    positions = [[0, 0, 0]] * T + [[0, y, x] for y in range(2) for x in range(3)] + [[1, y + 2, x + 40] for y in range(2) for x in range(2)]
    times, guidance = [1.0, 0.75, 0.3125], 2.5

    def embed(name, x):
        return apply(f, name + ".out_layer", silu(apply(f, name + ".in_layer", x)))

    ids = np.array(positions, dtype=np.float64)
    angle = np.concatenate([ids[:, a:a + 1] * theta ** (-np.arange(0, n, 2) / n) for a, n in enumerate(axes)], 1)

    def rotate(x):
        a, b, c, s = x[..., 0::2], x[..., 1::2], np.cos(angle), np.sin(angle)
        return np.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)

    def mod(x, scale, shift):
        return (1 + scale) * layer_norm(x, 1e-6) + shift

    def attend(q, k, v):
        return attention(rotate(q), rotate(k), v, d ** -0.5)

    def velocity(t):
        sv = silu(embed("time_in", sinusoid(t, freq)) + embed("guidance_in", sinusoid(guidance, freq)) + embed("vector_in", vector[0]))
        x = {"txt": apply(f, "txt_in", text), "img": apply(f, "img_in", np.concatenate([target, refs]))}
        for i in range(depth):
            p = "double_blocks.%d." % i
            m, q, k, v = {}, [], [], []
            for s in "txt", "img":
                m[s] = np.split(apply(f, p + s + "_mod.lin", sv), 6)
                a = [heads_of(y, heads) for y in np.split(apply(f, p + s + "_attn.qkv", mod(x[s], m[s][1], m[s][0])), 3, 1)]
                q.append(rms(a[0]) * f[p + s + "_attn.norm.query_norm.scale"])
                k.append(rms(a[1]) * f[p + s + "_attn.norm.key_norm.scale"])
                v.append(a[2])
            a = attend(*(np.concatenate(y, 1) for y in (q, k, v)))
            for s, y in ("txt", a[:T]), ("img", a[T:]):
                x[s] = x[s] + m[s][2] * apply(f, p + s + "_attn.proj", y)
                x[s] = x[s] + m[s][5] * apply(f, p + s + "_mlp.2", gelu(apply(f, p + s + "_mlp.0", mod(x[s], m[s][4], m[s][3]))))
        z = np.concatenate([x["txt"], x["img"]])
        for i in range(singles):
            p = "single_blocks.%d." % i
            shift, scale, gate = np.split(apply(f, p + "modulation.lin", sv), 3)
            u = apply(f, p + "linear1", mod(z, scale, shift))
            q, k, v = (heads_of(y, heads) for y in np.split(u[:, :3 * h], 3, 1))
            a = attend(rms(q) * f[p + "norm.query_norm.scale"], rms(k) * f[p + "norm.key_norm.scale"], v)
            z = z + gate * apply(f, p + "linear2", np.concatenate([a, gelu(u[:, 3 * h:])], 1))
        shift, scale = np.split(apply(f, "final_layer.adaLN_modulation.1", sv), 2)
        return apply(f, "final_layer.linear", mod(z[T:T + L], scale, shift))

    return {"tensors": f.list, "axes": axes, "theta": theta, "positions": positions, "times": times, "guidance": guidance,
            "velocities": [velocity(t).tolist() for t in times]}


def rounded(x):
    if isinstance(x, float):
        return float("%.9g" % x)
    if isinstance(x, list):
        return [rounded(y) for y in x]
    return {k: rounded(v) for k, v in x.items()} if isinstance(x, dict) else x


with open(sys.argv[1], "w") as out:
    json.dump(rounded({"clip": clip(), "t5": t5(), "vae": vae(), "mmdit": mmdit()}), out, separators=(",", ":"))
    out.write("\n")
