"""Kinds of edit with no reference or one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .edits import Draft, kind
from .scenes import (
    BACKGROUNDS,
    COLORS,
    FUR,
    HAIR,
    HATS,
    KINDS as FIGURES,
    NAMED_U,
    OBJECTS,
    PEOPLE,
    PLAIN,
    Character,
    Scene,
    Thing,
    hair_shows,
    pick,
    random_scene,
    random_thing,
    with_character,
)
from .words import GROUNDS, PLACES, a_thing, any_thing, garment, hair_word, name, noun, say

Rng = np.random.Generator
COLOR_NAMES = tuple(COLORS)
DEFAULT_SKIN = 1

_MOOD_WORDS = {"day": "", "night": " at night", "golden": " at golden hour"}


def named(scene: Scene, background: str) -> Scene:
    """The scene moved to a background named by a prompt."""
    return replace(scene, background=background, u=NAMED_U, tint=0)


def exact(rng: Rng, kinds: tuple[str, ...]) -> Thing:
    """A thing in a named colour."""
    return replace(random_thing(rng, kinds), jitter=(0, 0, 0))


def hair_names(who: Character) -> tuple[str, ...]:
    """The hair or fur colours of a figure's kind."""
    return tuple(HAIR if who.kind in PEOPLE else FUR)


# --- No reference --------------------------------------------------------------------------------------------------


def _described(rng: Rng, who: Character) -> str:
    """Figure and hair: "a man", "a woman with red hair", "a grey cat"."""
    default = who.hair == hair_names(who)[0]
    if who.kind in PEOPLE:
        return f"a {noun(rng, who)}" + ("" if default else f" with {who.hair} hair")
    return f"a {noun(rng, who)}" if default else f"a {who.hair} {noun(rng, who)}"


def _empty_picture(rng: Rng, mood: str) -> Draft:
    scene = Scene(pick(rng, BACKGROUNDS), mood=mood)
    ground = pick(rng, GROUNDS[scene.background])
    texts = {
        "day": ("A picture of {ground}.", "A shot of {ground} by day.", "{ground} on a sunny day."),
        "night": ("A picture of {ground} at night.", "A shot of {ground} at night.", "{ground} at night."),
        "golden": ("A cinematic shot of {ground} at sunset, soft golden light", "A picture of {ground} at golden hour.",
                   "{ground} at sunset."),
    }
    text = say(rng, *texts[mood], ground=ground)
    return text[0].upper() + text[1:], [], [scene]


@kind(references=0, weight=34)
def text_to_picture(rng: Rng) -> Draft | None:
    mood = pick(rng, ("day", "day", "day", "night", "golden"))
    if rng.random() < 0.12:
        return _empty_picture(rng, mood)
    who = Character(pick(rng, FIGURES), pick(rng, COLOR_NAMES), "", DEFAULT_SKIN)
    who = replace(who, hair=hair_names(who)[0] if rng.random() < 0.6 else pick(rng, hair_names(who)))
    what, place = _described(rng, who), ""
    scene = Scene(pick(rng, BACKGROUNDS), mood=mood, style="drawing" if rng.random() < 0.1 else "flat")
    if scene.style == "flat" and mood == "day" and rng.random() < 0.12:
        who = replace(who, shirt="white")
        scene = replace(scene, background="beach", characters=(replace(who, kind="man", hair="brown"),))
        return ("A man standing by the ocean, wearing a crisp white shirt with sleeves casually rolled up.", [], [scene])
    place = pick(rng, PLACES[scene.background]) + _MOOD_WORDS[mood]
    extra = ""
    if rng.random() < 0.4:
        who = replace(who, hat=exact(rng, HATS))
        extra += f" and {a_thing(rng, who.hat)}"
    if rng.random() < 0.35:
        who = replace(who, held=exact(rng, OBJECTS))
        extra += f", holding {a_thing(rng, who.held)}"
    if rng.random() < 0.25:
        who = replace(who, smile=True)
        extra += ", smiling"
    article = "an" if who.shirt[0] == "o" else "a"
    wear = f"{article} {who.shirt} {garment(rng, who)}"
    if wear.endswith("clothes"):
        wear = f"{who.shirt} clothes"
    text = say(
        rng,
        "{what} standing {place}, wearing {wear}{extra}.",
        "{what} {place}, wearing {wear}{extra}.",
        "{what} in {wear}{extra}, {place}.",
        what=what, place=place, wear=wear, extra=extra,
    )
    lead = pick(rng, ("A drawing of ", "A pencil drawing of ")) if scene.style == "drawing" else ""
    return lead + (text if lead else text[0].upper() + text[1:]), [], [replace(scene, characters=(who,))]


# --- One reference -------------------------------------------------------------------------------------------------

# A maker that takes a scene edits that one, for chains of edits.


@kind(references=1, weight=6)
def recolour_garment(rng: Rng, scene: Scene | None = None) -> Draft | None:
    scene = scene or random_scene(rng, ground=0.1)
    who, color = scene.characters[0], pick(rng, COLOR_NAMES)
    if color == who.shirt:
        return None
    text = say(
        rng, "Change the {g} to {c}.", "Make the {n}'s {g} {c}.", "Change the color of the {g} to {c}.", "Give the {n} {c} clothes.",
        "The {n} wears a {g} in {c}.", g=garment(rng, who), n=noun(rng, who), c=color,
    )
    return text, [scene], [with_character(scene, shirt=color, jitter=(0, 0, 0))]


@kind(references=1, weight=6)
def recolour_thing(rng: Rng) -> Draft | None:
    part = pick(rng, ("hat", "hat", "held", "ground"))
    scene = random_scene(rng, hat=float(part == "hat"), held=float(part == "held"), ground=float(part == "ground"))
    thing = scene.ground if part == "ground" else getattr(scene.characters[0], part)
    color = pick(rng, COLOR_NAMES)
    if color == thing.color:
        return None
    new = Thing(thing.kind, color)
    target = replace(scene, ground=new) if part == "ground" else with_character(scene, **{part: new})
    text = say(
        rng, "Change the {t} to {c}.", "Make the {t} {c}.", "Change the color of the {t} to {c}.", "Turn the {t} {c}.",
        t=name(rng, thing), c=color,
    )
    return text, [scene], [target]


@kind(references=1, weight=6)
def put_on_hat(rng: Rng, scene: Scene | None = None) -> Draft | None:
    scene = scene or random_scene(rng, hat=0, ground=0.1)
    hat = exact(rng, HATS)
    text = say(
        rng, "Put {a} on the {n}.", "Add {a}.", "The {n} is wearing {a}.", "Give the {n} {a}.", "Let the {n} wear {a}.",
        a=a_thing(rng, hat), n=noun(rng, scene.characters[0]),
    )
    return text, [scene], [with_character(scene, hat=hat)]


@kind(references=1, weight=4)
def take_off_hat(rng: Rng) -> Draft | None:
    scene = random_scene(rng, hat=1)
    who = scene.characters[0]
    text = say(
        rng, "Remove the {t}.", "Take off the {t}.", "Take the {t} off the {n}.", "The {n} without the {t}.", "Remove the {n}'s {t}.",
        t=name(rng, who.hat), n=noun(rng, who),
    )
    # What a hat hides nobody can know, so any colour of hair is right then.
    colors = (who.hair,) if hair_shows(who) else hair_names(who)
    return text, [scene], [with_character(scene, hat=None, hair=color) for color in colors]


@kind(references=1, weight=8)
def give_object(rng: Rng, scene: Scene | None = None) -> Draft | None:
    scene = scene or random_scene(rng, held=0, ground=0.1)
    thing = exact(rng, OBJECTS)
    text = say(
        rng, "Give the {n} {a}.", "The {n} is holding {a}.", "Put {a} in the {n}'s hand.", "Let the {n} hold {a}.", "The {n} holds {a}.",
        a=a_thing(rng, thing), n=noun(rng, scene.characters[0]),
    )
    return text, [scene], [with_character(scene, held=thing)]


@kind(references=1, weight=6)
def ground_object(rng: Rng, scene: Scene | None = None) -> Draft | None:
    scene = scene or random_scene(rng, held=0.15)
    thing, side = exact(rng, OBJECTS), pick(rng, (-1, 1))
    text = say(
        rng, "Put {a} to the {s} of the {n}.", "Add {a} on the {s}.", "Place {a} on the ground to the {s}.", "Put {a} on the {s}.",
        a=a_thing(rng, thing), n=noun(rng, scene.characters[0]), s="left" if side < 0 else "right",
    )
    return text, [scene], [replace(scene, ground=thing, ground_side=side)]


@kind(references=1, weight=4)
def remove_object(rng: Rng) -> Draft | None:
    held = bool(rng.random() < 0.6)
    scene = random_scene(rng, held=float(held), ground=float(not held))
    thing = scene.characters[0].held if held else scene.ground
    target = with_character(scene, held=None) if held else replace(scene, ground=None)
    text = say(
        rng, "Remove the {t}.", "Take away the {t}.", "Take the {t} away.", "Make the {t} disappear.", "Delete the {t}.",
        t=pick(rng, (name(rng, thing), thing.kind)),
    )
    return text, [scene], [target]


@kind(references=1, weight=5)
def replace_object(rng: Rng) -> Draft | None:
    part = pick(rng, ("held", "held", "ground", "hat"))
    scene = random_scene(rng, hat=float(part == "hat"), held=float(part == "held"), ground=float(part == "ground"))
    old = scene.ground if part == "ground" else getattr(scene.characters[0], part)
    new = exact(rng, HATS if part == "hat" else OBJECTS)
    if new.kind == old.kind:
        return None
    target = replace(scene, ground=new) if part == "ground" else with_character(scene, **{part: new})
    text = say(
        rng, "Replace the {t} with {a}.", "Replace the {t} by {a}.", "Turn the {t} into {a}.", "{A} instead of the {t}.",
        t=name(rng, old), a=a_thing(rng, new), A=a_thing(rng, new).capitalize(),
    )
    return text, [scene], [target]


@kind(references=1, weight=7)
def named_background(rng: Rng) -> Draft | None:
    scene, place = random_scene(rng), pick(rng, BACKGROUNDS)
    if place == scene.background:
        return None
    text = say(
        rng, "Put the {n} {p}.", "Change the background to {g}.", "The {n} is {p}.", "Replace the background with {g}.",
        "The {n} is now {p}.", n=noun(rng, scene.characters[0]), p=pick(rng, PLACES[place]), g=pick(rng, GROUNDS[place]),
    )
    return text, [scene], [named(scene, place)]


@kind(references=1, weight=5)
def garment_and_place(rng: Rng) -> Draft | None:
    scene, place, color = random_scene(rng, mood=0.05, style=0.03), pick(rng, BACKGROUNDS), pick(rng, COLOR_NAMES)
    who = scene.characters[0]
    if place == scene.background or color == who.shirt:
        return None
    target = with_character(named(scene, place), shirt=color, jitter=(0, 0, 0))
    if place == "beach" and color == "white" and who.kind == "man" and rng.random() < 0.7:
        text = "A man standing by the ocean, wearing a crisp white shirt with sleeves casually rolled up."
    else:
        text = say(
            rng, "A {n} standing {p}, wearing a {c} {g}.", "Put the {n} {p} in a {c} {g}.", "The {n} {p}, wearing a {c} {g}.",
            n=noun(rng, who), p=pick(rng, PLACES[place]), c=color, g=garment(rng, who),
        )
    return text, [scene], [target]


@kind(references=1, weight=4)
def smile(rng: Rng, scene: Scene | None = None) -> Draft | None:
    scene = scene or random_scene(rng)
    who = scene.characters[0]
    if who.smile:
        texts = ("The {n} stops smiling.", "Remove the smile.", "Make the {n} serious.", "The {n} looks serious.")
    else:
        texts = ("Make the {n} smile.", "Add a smile.", "The {n} is smiling.", "Make the {n} happy.", "The {n} smiles.")
    return say(rng, *texts, n=noun(rng, who)), [scene], [with_character(scene, smile=not who.smile)]


@kind(references=1, weight=4)
def hair_colour(rng: Rng, scene: Scene | None = None) -> Draft | None:
    scene = scene or random_scene(rng)
    who = scene.characters[0]
    color = pick(rng, hair_names(who))
    if color == who.hair or not hair_shows(who):
        return None
    text = say(
        rng, "Change the {h} color to {c}.", "Make the {n}'s {h} {c}.", "Give the {n} {c} {h}.", "The {n} has {c} {h}.",
        h=hair_word(who), n=noun(rng, who), c=color,
    )
    return text, [scene], [with_character(scene, hair=color)]


@kind(references=1, weight=5)
def mood(rng: Rng) -> Draft | None:
    scene = random_scene(rng, mood=0.35, ground=0.1)
    new = pick(rng, ("night", "golden", "night", "golden", "day"))
    if new == scene.mood:
        return None
    texts = {
        "night": ("Make it night.", "Change the scene to night.", "The same scene at night.", "Turn day into night.", "At night."),
        "golden": ("Make it golden hour.", "The same scene at golden hour.", "Give it warm sunset light.",
                   "Change the light to golden hour.", "At sunset, soft golden light"),
        "day": ("Make it day.", "Change the scene to day.", "The same scene by day.", "Give it daylight.", "Turn it into a sunny day."),
    }
    return say(rng, *texts[new]), [scene], [replace(scene, mood=new)]


@kind(references=1, weight=4)
def style(rng: Rng) -> Draft | None:
    scene = random_scene(rng, style=0, ground=0.1)
    text = say(
        rng, "Make it a drawing.", "Turn it into a pencil drawing.", "Make it look like a pencil drawing.",
        "Redraw it as a soft illustration.", "Change the style to a pencil drawing.", "Draw it with a pencil.",
    )
    return text, [scene], [replace(scene, style="drawing")]


# --- One reference, several right answers --------------------------------------------------------------------------


@kind(references=1, weight=6)
def open_colour(rng: Rng) -> Draft | None:
    scene = random_scene(rng)
    who = scene.characters[0]
    text = say(
        rng, "Change the color of the {g}.", "Give the {g} another color.", "Give the {n} another {g}.", "Make the {g} a different color.",
        g=garment(rng, who), n=noun(rng, who),
    )
    return text, [scene], [with_character(scene, shirt=c, jitter=(0, 0, 0)) for c in COLOR_NAMES if c != who.shirt]


@kind(references=1, weight=6)
def open_hat(rng: Rng) -> Draft | None:
    scene = random_scene(rng, hat=0)
    kinds = HATS if rng.random() < 0.3 else (pick(rng, HATS),)
    what = "a hat" if len(kinds) > 1 else any_thing(rng, Thing(kinds[0], "red"))
    text = say(rng, "Put {a} on the {n}.", "Give the {n} {a}.", "Add {a}.", "The {n} wears {a}.", a=what, n=noun(rng, scene.characters[0]))
    return text, [scene], [with_character(scene, hat=Thing(k, c)) for k in kinds for c in COLOR_NAMES]


@kind(references=1, weight=6)
def open_side(rng: Rng) -> Draft | None:
    scene, thing = random_scene(rng, held=0.1), exact(rng, OBJECTS)
    text = say(
        rng, "Put {a} on the ground.", "Place {a} beside the {n}.", "Put {a} next to the {n}.", "Add {a} on the ground.",
        a=a_thing(rng, thing), n=noun(rng, scene.characters[0]),
    )
    return text, [scene], [replace(scene, ground=thing, ground_side=side) for side in (-1, 1)]


@kind(references=1, weight=6)
def open_place(rng: Rng) -> Draft | None:
    scene = random_scene(rng)
    text = say(
        rng, "Put the {n} somewhere else.", "Change the background.", "Another background.", "Put the {n} in another place.",
        "Replace the background with something else.", n=noun(rng, scene.characters[0]),
    )
    return text, [scene], [named(scene, place) for place in BACKGROUNDS if place not in (scene.background, PLAIN)]
