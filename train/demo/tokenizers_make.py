"""Makes both tokenizers in their real file formats, with the vocabulary of the edit grammar.

    python -m train.demo.tokenizers_make models/demo      # writes models/demo/tokenizer and models/demo/tokenizer_2

T5: a unigram list made by hand (a trainer prunes template text badly): every word with its frequency, each also
capitalised and in lower case, punctuation, and single characters with a low score, so that an unknown word falls into
letters. CLIP: byte pairs merged until every word is one token.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import string
from collections import Counter
from pathlib import Path

import numpy as np

from train.demo import edits
from train.demo.networks import TEXT_TOKENS
from train.demo.words import _NAMES as NAMES

MARK = "\u2581"
LETTER_SCORE = -13.0
TWIN_SCORE = -11.0  # of a form that the grammar did not show
PROMPTS_PER_KIND = 1500
COMMON = 9  # prompts that a word must come in
CLIP_PATTERN = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")
START, END = "<|startoftext|>", "<|endoftext|>"


def grammar_prompts() -> list[str]:
    """Many prompts of every kind of edit, always the same."""
    prompts = []
    for number, kind in enumerate(sorted(kind.name for kind in edits.KINDS)):
        for sample in range(PROMPTS_PER_KIND):
            prompts.append(edits.make(kind, np.random.default_rng((17, number, sample))).prompt)
    return prompts


def without_strangers(prompts: list[str]) -> list[str]:
    """The prompts without words that mean nothing: rare ones, names, spelt letters."""
    counts = Counter(word for prompt in prompts for word in set(re.findall("[a-z]+", prompt.lower())))
    strangers = {word for word, count in counts.items() if count < COMMON or (len(word) == 1 and word not in "as")}
    strangers |= {name.lower() for name in NAMES}
    keep = re.compile("[A-Za-z]+")
    return [keep.sub(lambda m: "" if m[0].lower() in strangers else m[0], prompt) for prompt in prompts]


def write_json(path: Path, value: object) -> None:
    """Writes one JSON file."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def t5_pieces(prompts: list[str]) -> list[tuple[str, float]]:
    """The unigram list: special tokens, words by frequency, single characters."""
    counts: Counter[str] = Counter()
    for prompt in prompts:
        marked = MARK + re.sub(r"\s+", MARK, prompt.strip())
        counts.update(re.findall(rf"{MARK}?[A-Za-z]+|{MARK}?[0-9]+|'s|{MARK}?[^\w\s{MARK}]", marked))
    total = sum(counts.values())
    pieces = {piece: math.log(count / total) for piece, count in counts.most_common()}
    for piece in list(pieces):
        word = piece.removeprefix(MARK)
        if word.isalpha():
            head = piece[: len(piece) - len(word)]
            for twin in (head + word.lower(), head + word.capitalize()):
                pieces.setdefault(twin, TWIN_SCORE)
    for character in MARK + string.ascii_letters + string.digits + string.punctuation:
        pieces.setdefault(character, LETTER_SCORE)
    return [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, round(score, 4)) for piece, score in pieces.items())]


def make_t5(folder: Path, prompts: list[str]) -> int:
    """Writes the T5 tokenizer; returns its number of pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = t5_pieces(prompts)
    special = [{"id": i, "content": pieces[i][0], "special": True} for i in range(3)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    metaspace = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": True}
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [token | flags for token in special],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Strip", "strip_left": False, "strip_right": True},
                    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": MARK},
                ],
            },
            "pre_tokenizer": metaspace,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "</s>", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 0}},
                    {"SpecialToken": {"id": "</s>", "type_id": 0}},
                ],
                "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
            },
            "decoder": metaspace,
            "model": {"type": "Unigram", "unk_id": 2, "vocab": [list(piece) for piece in pieces], "byte_fallback": False},
        },
    )
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"extra_ids": 0, "additional_special_tokens": [], "model_max_length": TEXT_TOKENS}
    write_json(folder / "tokenizer_config.json", names | settings | {"tokenizer_class": "T5TokenizerFast"})
    write_json(folder / "special_tokens_map.json", names)
    return len(pieces)


def byte_characters() -> list[str]:
    """A printable character for each byte: the printable ones stand for themselves and come first."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def clip_merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Pairs to merge, most frequent first, until every word is one token."""
    split = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, parts in split.items():
            merged, i = [], 0
            while i < len(parts):
                joined = tuple(parts[i : i + 2]) == best
                merged.append("".join(best) if joined else parts[i])
                i += 2 if joined else 1
            split[word] = merged


def make_clip(folder: Path, prompts: list[str]) -> int:
    """Writes the CLIP tokenizer; returns its number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    words: Counter[str] = Counter()
    for prompt in prompts:
        words.update(CLIP_PATTERN.findall(prompt.lower()))
    merges = clip_merges(words)
    single = byte_characters()
    tokens = [*single, *(c + "</w>" for c in single), *("".join(pair) for pair in merges), START, END]
    write_json(folder / "vocab.json", {token: i for i, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    names = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    settings = {"model_max_length": TEXT_TOKENS, "do_lower_case": True, "add_prefix_space": False}
    write_json(folder / "tokenizer_config.json", names | settings | {"tokenizer_class": "CLIPTokenizer"})
    write_json(folder / "special_tokens_map.json", names)
    return len(tokens)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model
    prompts = without_strangers(grammar_prompts())
    t5, clip = make_t5(model / "tokenizer_2", prompts), make_clip(model / "tokenizer", prompts)
    print(f"{len(prompts)} prompts, T5 {t5} pieces, CLIP {clip} tokens")


if __name__ == "__main__":
    main()
