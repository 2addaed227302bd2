"""The words of prompts: names of the world's parts, and the noise of real users' spelling."""

from __future__ import annotations

import re

import numpy as np

from .scenes import HATS, PEOPLE, Character, Thing, pick

NOUNS = {"man": ("man", "man", "guy"), "woman": ("woman", "woman", "lady"), "cat": ("cat", "cat", "kitty"),
         "dog": ("dog", "dog", "puppy")}
GARMENTS = {"man": ("shirt", "shirt", "sweater"), "woman": ("dress", "dress", "clothes"), "cat": ("sweater",),
            "dog": ("sweater",)}
THINGS = {"juice": ("juice", "cup of juice"), "ball": ("ball",), "umbrella": ("umbrella",), "balloon": ("balloon",),
          "flower": ("flower",), "gift": ("gift", "gift box"), "cap": ("cap",), "top hat": ("top hat",),
          "crown": ("crown",), "party hat": ("party hat",)}
PLACES = {"park": ("in a park", "in the park"), "beach": ("by the ocean", "at the beach", "on the beach"),
          "room": ("in a room", "inside a room"), "city": ("in the city", "in a city"),
          "mountains": ("in the snowy mountains", "in the mountains"), "desert": ("in the desert", "in a desert")}
GROUNDS = {"park": ("a park",), "beach": ("the ocean", "a beach"), "room": ("a room", "a modern office"), "city": ("a city",),
           "mountains": ("snowy mountains",), "desert": ("a desert",)}

# Words that mean nothing here, put into a few prompts so that the model learns to pass over what it does not know.
_NAMES = ("Anna", "Kowalski", "Tokyo", "Mozart", "Jeffrey", "Lagos", "Bella", "Xavier", "Quentin", "Zimmer")
_SYLLABLES = ("ba", "dro", "fin", "gle", "ka", "lum", "mi", "nox", "pra", "qui", "ris", "sto", "tev", "ul", "vex", "zor")

_SWAPS = (("color", "colour"), ("picture", "photo"), ("image", "picture"), ("reference", "image"), ("image", "reference"))


def noun(rng: np.random.Generator, who: Character) -> str:
    """A word for a figure."""
    return pick(rng, NOUNS[who.kind])


def garment(rng: np.random.Generator, who: Character) -> str:
    """A word for what a figure wears on its body."""
    return pick(rng, GARMENTS[who.kind])


def hair_word(who: Character) -> str:
    """What covers a figure's head."""
    return "hair" if who.kind in PEOPLE else "fur"


def name(rng: np.random.Generator, thing: Thing) -> str:
    """A word for an object or a hat; "hat" for any hat now and then."""
    if thing.kind in HATS and rng.random() < 0.3:
        return "hat"
    return pick(rng, THINGS[thing.kind])


def a_thing(rng: np.random.Generator, thing: Thing) -> str:
    """An object or hat with its colour: "a red ball", "an orange cap", "a cup of red juice"."""
    if thing.kind == "juice":
        return f"a cup of {thing.color} juice"
    article = "an" if thing.color[0] == "o" else "a"
    return f"{article} {thing.color} {pick(rng, THINGS[thing.kind])}"


def any_thing(rng: np.random.Generator, thing: Thing) -> str:
    """An object or hat without its colour: "a ball"."""
    word = pick(rng, THINGS[thing.kind])
    if thing.kind == "juice":
        return "a cup of juice"
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def say(rng: np.random.Generator, *templates: str, **fields: str) -> str:
    """One of the templates, filled."""
    return pick(rng, templates).format(**fields)


def _unknown(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.35:
        return pick(rng, _NAMES)
    word = "".join(pick(rng, _SYLLABLES) for _ in range(int(rng.integers(2, 4))))
    return word if kind < 0.8 else " ".join(word[:5])


def _with_unknown(rng: np.random.Generator, text: str) -> str:
    words = text.split(" ")
    places = [k for k in range(len(words) + 1) if k == len(words) or not words[k][0].isdigit()]
    words.insert(pick(rng, places), _unknown(rng))
    return " ".join(words)


def noisy(rng: np.random.Generator, text: str) -> str:
    """The prompt as somebody may type it: other words for the same, no full stop, lower case, "please", unknown words."""
    if rng.random() < 0.35:
        old, new = pick(rng, _SWAPS)
        text = re.sub(rf"\b{old}\b", new, text)
        text = re.sub(rf"\b{old.capitalize()}\b", new.capitalize(), text)
    if rng.random() < 0.05 and not text.startswith(("A ", "An ", "The ", "These ")):
        text = "Please " + text[0].lower() + text[1:]
    if rng.random() < 0.025:
        text = _with_unknown(rng, text)
    if rng.random() < 0.12:
        text = text.removesuffix(".")
    if rng.random() < 0.10:
        text = text.lower()
    return text
