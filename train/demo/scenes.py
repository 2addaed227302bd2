"""The world as data: what a picture shows, which values each part may take, and which combinations are held out.

A scene is a small immutable struct. `draw.draw` turns it into a picture, `draw.labels` into the part map that the judge
reads. Colours here are the named ones of an ordinary day; mood (night, golden hour) and style (a drawing) change all of
them together when the scene is drawn. References carry a small jitter on their colours, so that a colour taken from a
reference is a value and not a name; a colour named by a prompt is exact (jitter zero).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

RGB = tuple[int, int, int]

COLORS: dict[str, RGB] = {
    "red": (222, 52, 56),
    "orange": (246, 142, 36),
    "yellow": (252, 212, 60),
    "green": (52, 158, 84),
    "blue": (44, 104, 214),
    "purple": (136, 72, 186),
    "pink": (248, 146, 188),
    "white": (250, 248, 246),
    "black": (52, 50, 60),
}
SKINS: tuple[RGB, ...] = ((252, 214, 184), (222, 164, 118), (150, 98, 66))
HAIR: dict[str, RGB] = {
    "brown": (122, 76, 46),
    "blonde": (240, 198, 104),
    "black": (54, 48, 56),
    "red": (200, 84, 40),
}
FUR: dict[str, RGB] = {
    "orange": (240, 158, 72),
    "grey": (156, 160, 170),
    "brown": (150, 104, 72),
    "cream": (244, 224, 192),
}
PEOPLE = ("man", "woman")
ANIMALS = ("cat", "dog")
KINDS = PEOPLE + ANIMALS
HATS = ("cap", "top hat", "crown", "party hat")
OBJECTS = ("juice", "ball", "umbrella", "balloon", "flower", "gift")
BACKGROUNDS = ("park", "beach", "room", "city", "mountains", "desert")
PLAIN = "plain"
TINTS = 3
MOODS = ("day", "night", "golden")

NAMED_U = 0.15  # where the features of a background stand when a prompt names it
ONE_X = (54, 74)  # range of a lone figure's centre, in pixels
PAIR_X = (43, 85)
HUG_X = (51, 77)
NO_JITTER = (0, 0, 0)


@dataclass(frozen=True)
class Thing:
    """An object or a hat: its kind, its named colour and the jitter added to it."""

    kind: str
    color: str
    jitter: RGB = NO_JITTER


@dataclass(frozen=True)
class Character:
    """A figure. `hair` is a hair colour for people, a fur colour for animals."""

    kind: str
    shirt: str
    hair: str
    skin: int = 0
    smile: bool = False
    hat: Thing | None = None
    held: Thing | None = None
    drinking: bool = False
    jitter: RGB = NO_JITTER


@dataclass(frozen=True)
class Scene:
    """A picture: either figures before a background, an empty background, or one `item` alone on a plain ground."""

    background: str
    u: float = NAMED_U
    tint: int = 0
    characters: tuple[Character, ...] = ()
    x: int = 64  # centre of a lone figure
    hug: bool = False
    ground: Thing | None = None
    ground_side: int = -1  # -1: to the left of the figure, +1: to its right
    item: Thing | None = None
    mood: str = "day"
    style: str = "flat"  # or "drawing"


def centres(scene: Scene) -> tuple[int, ...]:
    """The x of every figure."""
    if len(scene.characters) == 2:
        return HUG_X if scene.hug else PAIR_X
    return (scene.x,) * len(scene.characters)


def hair_shows(who: Character) -> bool:
    """Whether one can tell the colour of a figure's hair: a hat hides a man's."""
    return who.kind != "man" or who.hat is None


def with_character(scene: Scene, index: int = 0, **changes: object) -> Scene:
    """The scene with one figure changed."""
    people = list(scene.characters)
    people[index] = replace(people[index], **changes)
    return replace(scene, characters=tuple(people))


# --- What may stand together ---------------------------------------------------------------------------------------

_NEAR: dict[str, tuple[str, ...]] = {  # colours that lose their edge against each other
    "red": ("red",),
    "orange": ("orange", "yellow"),
    "yellow": ("yellow", "orange"),
    "green": ("green",),
    "blue": ("blue", "purple"),
    "purple": ("purple", "blue"),
    "pink": ("pink",),
    "white": ("white",),
    "black": ("black",),
}
_HAIR_LIKE = {"black": "black", "red": "orange", "blonde": "yellow", "orange": "orange", "cream": "white"}
_PALE = {"beach": ("yellow",), "desert": ("orange", "yellow"), "mountains": ("white",)}


def clash(a: str, b: str) -> bool:
    """Whether two named colours are too near to stand beside each other."""
    return b in _NEAR[a]


def _character_clear(who: Character, scene: Scene) -> bool:
    if who.hat and _HAIR_LIKE.get(who.hair) == who.hat.color:
        return False
    if who.held and clash(who.held.color, who.shirt):
        return False
    if scene.mood == "night":
        dark = ("black",)
        return who.shirt not in dark and all(t is None or t.color not in dark for t in (who.hat, who.held))
    return True


def is_clear(scene: Scene) -> bool:
    """Whether every part can be told from what it stands before."""
    pale = _PALE.get(scene.background, ())
    if scene.ground and (scene.ground.color in pale or (scene.mood == "night" and scene.ground.color == "black")):
        return False
    for who in scene.characters:
        if not _character_clear(who, scene) or who.shirt in pale:
            return False
        if scene.ground and who.held and scene.ground.kind == who.held.kind:
            return False
    if len(scene.characters) == 2:
        a, b = scene.characters
        if scene.hug and clash(a.shirt, b.shirt):
            return False
    return True


# --- Random parts --------------------------------------------------------------------------------------------------


def pick(rng: np.random.Generator, values):
    """One of a sequence."""
    return values[int(rng.integers(len(values)))]


def jitter(rng: np.random.Generator) -> RGB:
    """The small change that makes a reference's colour its own."""
    r, g, b = (int(v) for v in rng.integers(-8, 9, 3))
    return (r, g, b)


def random_thing(rng: np.random.Generator, kinds: tuple[str, ...], avoid: tuple[str, ...] = ()) -> Thing:
    """An object or hat of a random kind and colour, the colours `avoid` excepted."""
    colors = [c for c in COLORS if c not in avoid]
    return Thing(pick(rng, kinds), pick(rng, colors), jitter(rng))


def random_character(
    rng: np.random.Generator, kinds: tuple[str, ...] = KINDS, hat: float = 0.35, held: float = 0.25
) -> Character:
    """A figure; `hat` and `held` are the chances of its wearing and holding something."""
    kind = pick(rng, kinds)
    who = Character(
        kind=kind,
        shirt=pick(rng, tuple(COLORS)),
        hair=pick(rng, tuple(HAIR if kind in PEOPLE else FUR)),
        skin=int(rng.integers(len(SKINS))),
        smile=bool(rng.random() < 0.5),
        jitter=jitter(rng),
    )
    if rng.random() < hat:
        who = replace(who, hat=random_thing(rng, HATS))
    if rng.random() < held:
        who = replace(who, held=random_thing(rng, OBJECTS))
    return who


def random_u(rng: np.random.Generator) -> float:
    """A place for a background's features, away from the middle where figures stand."""
    side = 0.0 if rng.random() < 0.5 else 0.72
    return round(side + 0.28 * float(rng.random()), 3)


def random_background(rng: np.random.Generator, plain: float = 0.0) -> Scene:
    """An empty scene, plain with the given chance."""
    name = PLAIN if rng.random() < plain else pick(rng, BACKGROUNDS)
    return Scene(background=name, u=random_u(rng), tint=int(rng.integers(TINTS)))


def random_scene(
    rng: np.random.Generator,
    kinds: tuple[str, ...] = KINDS,
    hat: float = 0.35,
    held: float = 0.25,
    ground: float = 0.0,
    plain: float = 0.12,
    mood: float = 0.12,
    style: float = 0.06,
) -> Scene:
    """A clear scene with one figure; the other arguments are chances of what it has beside."""
    while True:
        scene = replace(
            random_background(rng, plain),
            characters=(random_character(rng, kinds, hat, held),),
            x=int(rng.integers(ONE_X[0], ONE_X[1] + 1)),
        )
        if rng.random() < ground:
            scene = replace(scene, ground=random_thing(rng, OBJECTS), ground_side=int(pick(rng, (-1, 1))))
        if rng.random() < mood:
            scene = replace(scene, mood=pick(rng, MOODS[1:]))
        if rng.random() < style:
            scene = replace(scene, style="drawing")
        if is_clear(scene):
            return scene


def item_scene(rng: np.random.Generator, item: Thing) -> Scene:
    """One thing alone on a plain ground."""
    return Scene(background=PLAIN, tint=int(rng.integers(TINTS)), item=item)


# --- Held-out combinations -----------------------------------------------------------------------------------------

HELD_OUT_BYTES = 26  # of 256: about 10 %


def combination(scene: Scene) -> str:
    """What a picture shows, without positions, tints and jitter: the unit of the held-out split."""

    def name(thing: Thing | None) -> str:
        return f"{thing.color} {thing.kind}" if thing else "-"

    parts = [scene.background, scene.mood, scene.style, name(scene.ground), name(scene.item)]
    for who in scene.characters:
        parts += [who.kind, who.shirt, name(who.hat), name(who.held)]
    return "|".join(parts)


def is_held_out(scene: Scene) -> bool:
    """Whether a target picture belongs to the part that training never sees."""
    return hashlib.md5(combination(scene).encode()).digest()[0] < HELD_OUT_BYTES
