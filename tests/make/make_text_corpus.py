"""Writes the seeds of the fuzz targets tokenizer_files and tokenize, from tests/data/text. Usage: python3 make_text_corpus.py"""
import base64
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
DATA, OUT = os.path.join(HERE, "..", "data", "text"), os.path.join(HERE, "..", "fuzz", "corpus")


def seed(target, name, content):
    os.makedirs(os.path.join(OUT, target), exist_ok=True)
    with open(os.path.join(OUT, target, name), "wb") as f:
        f.write(content)


def read(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return json.load(f)


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


plain, mapped, whole = read("t5-plain/tokenizer.json"), read("t5-charsmap/tokenizer.json"), read("clip-merges/tokenizer.json")
config = compact(read("t5-plain/tokenizer_config.json"))
seed("tokenizer_files", "t5-plain", b"t" + compact(plain) + b"\0" + config)
seed("tokenizer_files", "t5-charsmap", b"t" + compact(mapped))
seed("tokenizer_files", "charsmap", b"m" + base64.b64decode(mapped["normalizer"]["normalizers"][0]["precompiled_charsmap"]))
older = dict(plain, pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "_", "add_prefix_space": True}]})
seed("tokenizer_files", "t5-older", b"t" + compact(older))
few = {p: i for i, p in enumerate(["a", "b", "a</w>", "t</w>", "ca", "c", "cat</w>", "<|startoftext|>", "<|endoftext|>"])}
clip_config = compact({"bos_token": {"content": "<|startoftext|>"}, "pad_token": "a", "model_max_length": 77,
                       "added_tokens_decoder": {"9": {"content": "x", "normalized": True, "lstrip": True}}})
seed("tokenizer_files", "clip", b"c" + compact(few) + b"\0#version: 0.2\nc a\nca t</w>\n\0" + clip_config)
small = dict(whole, added_tokens=[{"id": 7, "content": "<|startoftext|>"}], model={"type": "BPE", "vocab": few, "merges": ["c a", ["ca", "t</w>"]]})
seed("tokenizer_files", "clip-whole", b"w" + compact(small))
for number, text in enumerate(["a photo of a cat's ab", "a</s>b <l> cat cats <|endoftext|>", "ab  ba   aaaa \u2581\u2581 \u00e9 e\u0301\u0323 12 !?", "\U0001f468\u200d\U0001f469 \u732b\n\t "]):
    seed("tokenize", "prompt-%d" % number, bytes([7 * number + 3]) + text.encode())
