"""Kinds of edit with two, three or four references.

Light and style come from the reference that gives the background; every other reference is flat and by day, unless the
edit takes light or style from it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .edits import Draft, kind
from .edits_single import hair_names, named
from .scenes import (
    BACKGROUNDS,
    HATS,
    KINDS as FIGURES,
    MOODS,
    OBJECTS,
    PEOPLE,
    Character,
    Scene,
    Thing,
    hair_shows,
    item_scene,
    pick,
    random_background,
    random_scene,
    random_thing,
    with_character,
)
from .words import PLACES, garment, hair_word, name, noun, say

Rng = np.random.Generator


def figure(rng: Rng, hat: float = 0.3, held: float = 0.0, mood: float = 0.0, kinds: tuple[str, ...] = FIGURES) -> Scene:
    """A reference with one figure, flat and by day unless `mood` says otherwise."""
    return random_scene(rng, kinds, hat, held, mood=mood, style=mood / 2)


def shown(rng: Rng, kinds: tuple[str, ...], part: str) -> tuple[Scene, Thing]:
    """A reference that shows a thing: alone mostly, else worn or held by a figure."""
    if rng.random() < 0.75:
        thing = random_thing(rng, kinds)
        return item_scene(rng, thing), thing
    scene = figure(rng, hat=float(part == "hat"), held=float(part == "held"))
    thing = replace(getattr(scene.characters[0], part), kind=pick(rng, kinds))
    return with_character(scene, **{part: thing}), thing


def place(rng: Rng, mood: float = 0.1) -> Scene:
    """A reference for a background: empty mostly, else with a figure before it."""
    scene = random_background(rng) if rng.random() < 0.75 else random_scene(rng, held=0, plain=0, mood=0, style=0)
    return replace(scene, mood=pick(rng, MOODS[1:])) if rng.random() < mood else scene


def into(scene: Scene, background: Scene) -> Scene:
    """The scene's figures before another background, in its light and style."""
    return replace(
        scene, background=background.background, u=background.u, tint=background.tint, mood=background.mood, style=background.style
    )


def both(background: Scene, first: Scene, second: Scene, hug: bool = False) -> Scene:
    """The figures of two references before a background."""
    people = (first.characters[0], second.characters[0])
    return Scene(
        background.background, background.u, background.tint, people, hug=hug, mood=background.mood, style=background.style
    )


def smiling(scene: Scene) -> Scene:
    """The scene with every figure smiling."""
    return replace(scene, characters=tuple(replace(who, smile=True) for who in scene.characters))


def _pair_words(rng: Rng, a: Character, b: Character) -> dict[str, str]:
    return {"a": noun(rng, a), "b": noun(rng, b)}


# --- Two references ------------------------------------------------------------------------------------------------


@kind(references=2, weight=6)
def drink_juice(rng: Rng) -> Draft | None:
    one = figure(rng, mood=0.1)
    two, cup = shown(rng, ("juice",), "held")
    text = say(
        rng, "Let the {n} drink the juice.", "The {n} drinks the juice.", "The {n} is drinking the juice of image 2.",
        "Let the {n} in image 1 drink the juice in image 2.", n=noun(rng, one.characters[0]),
    )
    return text, [one, two], [with_character(one, held=cup, drinking=True)]


@kind(references=2, weight=7)
def together(rng: Rng) -> Draft | None:
    one, two = figure(rng, mood=0.1), figure(rng)
    words = _pair_words(rng, one.characters[0], two.characters[0])
    text = say(
        rng, "Let's get a picture of these two together.", "Put these two together in one picture.", "Get a picture of these two together.",
        "Put the {b} of image 2 beside the {a} of image 1.", "The {a} and the {b} together.", **words,
    )
    return text, [one, two], [both(one, one, two)]


@kind(references=2, weight=7)
def hug(rng: Rng) -> Draft | None:
    page = rng.random() < 0.25
    one = figure(rng, mood=0.05, kinds=("man",) if page else FIGURES)
    two = figure(rng, kinds=("woman",) if page else FIGURES)
    words = _pair_words(rng, one.characters[0], two.characters[0])
    target = both(one, one, two, hug=True)
    if page:
        text = "Combine the two images into one. The man holds the woman, smiling, in a park"
        return text, [one, two], [smiling(named(target, "park"))]
    texts = ("The {a} holds the {b}", "The {a} hugs the {b}", "Combine the two images into one. The {a} holds the {b}",
             "Combine the two images. The {a} hugs the {b}")
    text = say(rng, *texts, **words)
    if rng.random() < 0.5:
        text, target = text + ", smiling", smiling(target)
    if rng.random() < 0.4:
        where = pick(rng, BACKGROUNDS)
        text, target = f"{text}, {pick(rng, PLACES[where])}", named(target, where)
    return text + ".", [one, two], [target]


@kind(references=2, weight=5)
def background_of_2(rng: Rng) -> Draft | None:
    one, two = figure(rng, held=0.1), place(rng)
    text = say(
        rng, "Put the {n} in the scene of image 2.", "Use image 2 as the background.", "Put the {n} of image 1 into the background of image 2.",
        "The {n} in the place of image 2.", "Replace the background with image 2.", n=noun(rng, one.characters[0]),
    )
    return text, [one, two], [into(one, two)]


@kind(references=2, weight=7)
def object_of_2(rng: Rng) -> Draft | None:
    one = figure(rng, mood=0.1)
    two, thing = shown(rng, OBJECTS, "held")
    text = say(
        rng, "Give the {t} to the {n}.", "The {n} holds the {t} of image 2.", "Put the {t} in the {n}'s hand.", "Let the {n} hold the {t}.",
        "The {n} in image 1 holds the object in image 2.", n=noun(rng, one.characters[0]), t=name(rng, thing),
    )
    return text, [one, two], [with_character(one, held=thing)]


@kind(references=2, weight=4)
def beside_of_2(rng: Rng) -> Draft | None:
    one = figure(rng, mood=0.1)
    two, thing = shown(rng, OBJECTS, "held")
    side = pick(rng, (-1, 1))
    text = say(
        rng, "Put the {t} to the {s} of the {n}.", "Place the {t} of image 2 on the ground to the {s}.", "Add the {t} of image 2 on the {s}.",
        n=noun(rng, one.characters[0]), t=name(rng, thing), s="left" if side < 0 else "right",
    )
    return text, [one, two], [replace(one, ground=thing, ground_side=side)]


@kind(references=2, weight=6)
def hat_of_2(rng: Rng) -> Draft | None:
    one = figure(rng, hat=0.15, mood=0.1)
    two, hat = shown(rng, HATS, "hat")
    text = say(
        rng, "Put the {t} on the {n}.", "The {n} wears the {t} of image 2.", "Let the {n} wear the {t}.", "Put the {t} of image 2 on the {n}.",
        "The {n} in image 1 wears the hat in image 2.", n=noun(rng, one.characters[0]), t=name(rng, hat),
    )
    return text, [one, two], [with_character(one, hat=hat)]


@kind(references=2, weight=4)
def shirt_of_2(rng: Rng) -> Draft | None:
    one, two = figure(rng, held=0.1, mood=0.05), figure(rng)
    a, b = one.characters[0], two.characters[0]
    if a.shirt == b.shirt:
        return None
    text = say(
        rng, "Use the {g} color of image 2 for the {n} in image 1.", "The {n} wears the {g} of image 2.",
        "Give the {n} in image 1 the {g} color of image 2.", n=noun(rng, a), g=garment(rng, b),
    )
    return text, [one, two], [with_character(one, shirt=b.shirt, jitter=b.jitter)]


@kind(references=2, weight=3)
def hair_of_2(rng: Rng) -> Draft | None:
    page = rng.random() < 0.35
    kinds = PEOPLE if page or rng.random() < 0.7 else ("cat", "dog")
    one, two = figure(rng, kinds=kinds), figure(rng, kinds=kinds)
    a, b = one.characters[0], two.characters[0]
    if a.hair == b.hair or b.hair not in hair_names(a) or not (hair_shows(a) and hair_shows(b)):
        return None
    target = with_character(one, hair=b.hair)
    if page:
        text = ("Use reference 1 for face identity and reference 2 for hairstyle. Keep the pose from the base image. "
                "Replace the background with a modern office and match lighting direction.")
        return text, [one, two], [named(target, "room")]
    text = say(
        rng, "Use reference 1 for face identity and reference 2 for the {h}.", "Give the {n} in image 1 the {h} color of image 2.",
        "Use the {h} color of image 2 for the {n} in image 1.", n=noun(rng, a), h=hair_word(b),
    )
    return text, [one, two], [target]


@kind(references=2, weight=2)
def product_colour(rng: Rng) -> Draft | None:
    one = item_scene(rng, random_thing(rng, OBJECTS + HATS))
    two = item_scene(rng, random_thing(rng, OBJECTS + HATS))
    assert one.item and two.item
    if one.item.color == two.item.color or one.item.kind == two.item.kind:
        return None
    text = say(
        rng, "Use reference 1 for the product shape and reference 2 for label design.",
        "Use reference 1 for the product shape and reference 2 for the color.", "Give the {t} the color of image 2.", t=name(rng, one.item),
    )
    return text, [one, two], [replace(one, item=Thing(one.item.kind, two.item.color, two.item.jitter))]


# --- Three references ----------------------------------------------------------------------------------------------


def _thing_and_background(rng: Rng, one: Scene, kinds: tuple[str, ...], part: str, *texts: str) -> Draft:
    """The figure of reference 1 wears or holds the thing of reference 2 before the background of reference 3."""
    two, thing = shown(rng, kinds, part)
    three = place(rng)
    text = say(
        rng, "Use reference 1 for the {n}, reference 2 for the {t}, reference 3 for the background.",
        "Use reference 1 for the {n}. Use reference 2 for the {t}. Use reference 3 for the background.", *texts,
        n=noun(rng, one.characters[0]), t=name(rng, thing),
    )
    return text, [one, two, three], [with_character(into(one, three), **{part: thing})]


@kind(references=3, weight=6)
def hat_and_background(rng: Rng) -> Draft | None:
    return _thing_and_background(
        rng, figure(rng, hat=0.15), HATS, "hat", "Put the {t} of image 2 on the {n} and use image 3 as the background.",
        "The {n} wears the {t} of image 2 in the place of image 3.",
    )


@kind(references=3, weight=6)
def object_and_background(rng: Rng) -> Draft | None:
    return _thing_and_background(
        rng, figure(rng), OBJECTS, "held", "The {n} holds the {t} of image 2 in the place of image 3.",
        "Give the {t} to the {n} and use image 3 as the background.",
    )


@kind(references=3, weight=7)
def two_and_background(rng: Rng) -> Draft | None:
    one, two, three = figure(rng), figure(rng), place(rng)
    words = _pair_words(rng, one.characters[0], two.characters[0])
    if rng.random() < 0.4:
        texts = ("The {a} hugs the {b} in the place of image 3.", "The {a} holds the {b}, with image 3 as the background.")
        return say(rng, *texts, **words), [one, two, three], [both(three, one, two, hug=True)]
    text = say(
        rng, "Put these two together in the place of image 3.", "Put the {a} and the {b} together in the scene of image 3.",
        "Use reference 1 for the {a}, reference 2 for the {b}, reference 3 for the background.",
        "Let's get a picture of these two together, with image 3 as the background.", **words,
    )
    return text, [one, two, three], [both(three, one, two)]


@kind(references=3, weight=4)
def style_of_3(rng: Rng) -> Draft | None:
    one = figure(rng, hat=0.15)
    two, hat = shown(rng, HATS, "hat")
    three = replace(place(rng, mood=0), style="drawing")
    text = say(
        rng, "Use reference 1 for the {n}, reference 2 for the {t}, reference 3 for the style.",
        "Use reference 1 for the {n}. Use reference 2 for the {t}. Use reference 3 for the style.",
        "Put the {t} of image 2 on the {n}, in the style of image 3.",
        n=noun(rng, one.characters[0]), t=name(rng, hat),
    )
    return text, [one, two, three], [replace(with_character(one, hat=hat), style="drawing")]


@kind(references=3, weight=4)
def mood_of_3(rng: Rng) -> Draft | None:
    one, two = figure(rng), place(rng, mood=0)
    three = replace(place(rng), mood=pick(rng, MOODS[1:]))
    text = say(
        rng, "Use reference 1 for the {n}, reference 2 for the background, reference 3 for the lighting.",
        "Use reference 1 for the {n}. Use reference 2 for the background. Use reference 3 for the lighting.",
        "Put the {n} in the scene of image 2, in the light of image 3.", n=noun(rng, one.characters[0]),
    )
    return text, [one, two, three], [replace(into(one, two), mood=three.mood)]


# --- Four references -----------------------------------------------------------------------------------------------


@kind(references=4, weight=7)
def four_roles(rng: Rng) -> Draft | None:
    one = figure(rng, hat=0.15)
    two, hat = shown(rng, HATS, "hat")
    three = place(rng)
    four, thing = shown(rng, OBJECTS, "held")
    text = say(
        rng, "Use reference 1 for the {n}, reference 2 for the {h}, reference 3 for the background, reference 4 for the {t}.",
        "Use reference 1 for the {n}. Use reference 2 for the {h}. Use reference 3 for the background. Use reference 4 for the {t}.",
        "The {n} wears the {h} of image 2 and holds the {t} of image 4, with image 3 as the background.",
        n=noun(rng, one.characters[0]), h=name(rng, hat), t=name(rng, thing),
    )
    return text, [one, two, three, four], [with_character(into(one, three), hat=hat, held=thing)]


@kind(references=4, weight=7)
def two_and_item(rng: Rng) -> Draft | None:
    gives_hat = bool(rng.random() < 0.5)
    one, two, three = figure(rng, hat=0 if gives_hat else 0.3), figure(rng), place(rng)
    four, thing = shown(rng, HATS, "hat") if gives_hat else shown(rng, OBJECTS, "held")
    target = both(three, one, two)
    words = _pair_words(rng, one.characters[0], two.characters[0])
    if gives_hat:
        texts = ("Put these two together in the place of image 3. The first wears the {t} of image 4.",
                 "The {a} and the {b} in the place of image 3. The {a} of image 1 wears the {t} of image 4.")
        target = with_character(target, 0, hat=thing)
    else:
        texts = ("Put these two together in the place of image 3. The second holds the {t} of image 4.",
                 "The {a} and the {b} in the place of image 3. The {b} of image 2 holds the {t} of image 4.")
        target = with_character(target, 1, held=thing)
    return say(rng, *texts, t=name(rng, thing), **words), [one, two, three, four], [target]


@kind(references=4, weight=4)
def style_and_mood(rng: Rng) -> Draft | None:
    one = figure(rng, held=0.1)
    three = replace(place(rng, mood=0), style="drawing")
    four = replace(place(rng), mood=pick(rng, MOODS[1:]))
    if rng.random() < 0.4:  # the second reference has no role
        golden = replace(four, mood="golden")
        text = ("Use reference 3 as the style guide (soft illustration look) and reference 4 for lighting mood (golden hour). "
                "Preserve the subject identity from reference 1.")
        return text, [one, figure(rng), three, golden], [replace(one, style="drawing", mood="golden")]
    two = place(rng, mood=0)
    text = say(
        rng, "Use reference 1 for the {n}. Use reference 2 for the background. Use reference 3 for the style. Use reference 4 for the lighting.",
        "Use reference 1 for the {n}, reference 2 for the background, reference 3 for the style, reference 4 for the lighting.",
        n=noun(rng, one.characters[0]),
    )
    return text, [one, two, three, four], [replace(into(one, two), style="drawing", mood=four.mood)]


@kind(references=4, weight=4)
def outfit_light_scene(rng: Rng) -> Draft | None:
    one, two = figure(rng), figure(rng)
    three = replace(place(rng), mood=pick(rng, MOODS[1:]))
    four = place(rng, mood=0)
    b = two.characters[0]
    if b.shirt == one.characters[0].shirt:
        return None
    text = say(
        rng, "Use reference 1 for the {n}. Use reference 2 for the outfit. Use reference 3 for the lighting. Use reference 4 for the background.",
        "Use reference 1 for identity, reference 2 for the {g}, reference 3 for the lighting, reference 4 for the background.",
        n=noun(rng, one.characters[0]), g=garment(rng, b),
    )
    target = with_character(into(one, four), shirt=b.shirt, jitter=b.jitter)
    return text, [one, two, three, four], [replace(target, mood=three.mood)]
