"""Writes the small tokenizers under tests/data/text. Usage: python3 make_text_data.py [OUT]   (standard library only)

clip-bytes/   CLIP files with the 512 byte symbols, the two special tokens and no merge
clip-merges/  the same with a few merges, as tokenizer.json (model type BPE)
t5-plain/     a T5 unigram model of a few pieces, without a normaliser; the expected ids in test_t5_tokenizer.c are worked
              out by hand from its scores
t5-charsmap/  the same pieces with a normaliser: a made-up character map (A -> a, line feed -> space, U+FB01 -> fi),
              stripping on the right, runs of spaces
"""
import base64
import json
import os
import struct
import sys

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "text")
START, END = "<|startoftext|>", "<|endoftext|>"


def write(name, content):
    path = os.path.join(OUT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(content if isinstance(content, str) else json.dumps(content, ensure_ascii=True, indent=1) + "\n")


def token(content, **more):
    return dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True, **more)


def clip_symbols():
    own = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    others = [b for b in range(256) if b not in own]
    symbols = [chr(b) for b in own] + [chr(256 + i) for i in range(len(others))]
    return symbols + [s + "</w>" for s in symbols]


def clip():
    pieces = clip_symbols() + [START, END]
    config = {"added_tokens_decoder": {"512": token(START), "513": token(END)}, "bos_token": START, "eos_token": END, "pad_token": END,
              "unk_token": END, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    write("clip-bytes/vocab.json", {p: i for i, p in enumerate(pieces)})
    write("clip-bytes/merges.txt", "#version: 0.2\n")
    write("clip-bytes/tokenizer_config.json", config)

    merges = [("t", "h"), ("th", "e</w>"), ("a", "n"), ("an", "d</w>"), ("c", "a"), ("ca", "t</w>")]
    pieces = clip_symbols() + [a + b for a, b in merges] + [START, END]
    ids = {p: i for i, p in enumerate(pieces)}
    write("clip-merges/tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(token(t), id=ids[t]) for t in (START, END)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}, "behavior": "Removed", "invert": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END, ids[END]], "cls": [START, ids[START]], "trim_offsets": False, "add_prefix_space": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": END, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
                  "fuse_unk": False, "byte_fallback": False, "vocab": ids, "merges": [" ".join(m) for m in merges]}})


T5 = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), ("a", -3.0), ("b", -3.0), ("c", -3.0), ("\u2581a", -2.5), ("ab", -3.5),
      ("\u2581ab", -5.0), ("bc", -4.0), ("\u2581ca", -4.0), ("abc", -9.0), ("cc", -6.0), ("f", -3.0), ("i", -3.0)]


def t5(normalizer):
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [dict(token(T5[i][0]), id=i) for i in range(3)] + [dict(token("<extra>"), id=16)],
            "normalizer": normalizer, "pre_tokenizer": metaspace,
            "post_processor": {"type": "TemplateProcessing",
                               "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                               "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
            "decoder": metaspace, "model": {"type": "Unigram", "unk_id": 2, "vocab": T5, "byte_fallback": False}}


def charsmap(entries):
    """A double-array trie with room to spare: the children of the k-th inner node are at 256 (k + 1) ^ byte, the values in a row
    behind all of them."""
    nodes, leaves, strings = {b"": 0}, {}, b""
    for key, value in entries:
        key = key.encode()
        for n in range(1, len(key)):
            nodes.setdefault(key[:n], len(nodes))
        leaves[key] = len(strings)
        strings += value.encode() + b"\0"
    base = lambda prefix: 256 * (nodes[prefix] + 1)
    size = 256 * (len(nodes) + 1)
    units = [0] * (size + (len(leaves) + 255) // 256 * 256)
    units[0] = base(b"") << 10
    for prefix in nodes:
        if prefix:
            place = base(prefix[:-1]) ^ prefix[-1]
            units[place] = (place ^ base(prefix)) << 10 | prefix[-1]
    for k, (key, value) in enumerate(leaves.items()):
        place = base(key[:-1]) ^ key[-1]
        units[place] = (place ^ (size + k)) << 10 | 0x100 | key[-1]
        units[size + k] = 0x80000000 | value
    assert not set(nodes) & set(leaves)
    return base64.b64encode(struct.pack("<%dI" % (len(units) + 1), 4 * len(units), *units) + strings).decode()


def main():
    clip()
    config = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "model_max_length": 1000000000000000019884624838656,
              "tokenizer_class": "T5Tokenizer"}
    for name, normalizer in [("t5-plain", None), ("t5-charsmap", {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": charsmap([("A", "a"), ("\n", " "), ("\ufb01", "fi")])},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]})]:
        write(name + "/tokenizer.json", t5(normalizer))
        write(name + "/tokenizer_config.json", config)


main()
