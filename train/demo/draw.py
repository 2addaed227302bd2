"""Draws a scene: `draw` as a picture, `labels` as the map of its parts.

Both run the same code. A `Pen` holds the canvas and turns the world's daylight colours into those of the scene's mood and
style; in label mode it paints part numbers instead, without anti-aliasing. Outlines belong to the part they enclose.
"""

from __future__ import annotations

import numpy as np

from .draw_places import PLACES
from .draw_things import HAT_SHAPES, put_cup, put_thing, thing_color
from .pen import Pen, box, curve, mix, oval, poly
from .scenes import COLORS, FUR, HAIR, PEOPLE, RGB, SKINS, Character, Scene, centres

# Parts of the label map. A figure's parts are counted from FIRST or SECOND.
BACKGROUND = 0
FIRST, SECOND = 1, 11
SKIN, HAIR_PART, SHIRT, TROUSERS, HAT, HELD = range(6)
PART_NAMES = ("skin", "hair", "shirt", "trousers", "hat", "object")
GROUND = 21
ITEM = 22

_TROUSERS: RGB = (70, 84, 140)
_SHOE: RGB = (112, 78, 62)
_MOUTH: RGB = (206, 52, 62)


class Figure:
    """Where the parts of one figure stand."""

    def __init__(self, who: Character, x: int, base: int, side: int) -> None:
        self.who, self.x, self.base, self.side = who, x, base, side
        self.person = who.kind in PEOPLE
        self.skin = SKINS[who.skin] if self.person else FUR[who.hair]
        self.hair = HAIR[who.hair] if self.person else mix(FUR[who.hair], (90, 56, 40), 0.45)
        self.shirt: RGB = tuple(  # type: ignore[assignment]
            max(0, min(255, c + d)) for c, d in zip(COLORS[who.shirt], who.jitter)
        )
        self.head_y = 48 if self.person else 68
        self.hat_y = 40 if self.person else 58
        self.shoulder_y = 71 if self.person else 92
        self.hand_y = 86 if self.person else 100

    def limb(self, pen: Pen, points: str, hand: tuple[float, float]) -> None:
        """A sleeve along a path, with a hand or paw at its end."""
        pen.part = self.base + SHIRT
        pen.stroke(curve(points), self.shirt, 7.5)
        pen.part = self.base + SKIN
        pen.put(oval(*hand, 4.6, 4.6), self.skin)


def _face(pen: Pen, f: Figure) -> None:
    x, y = f.x, f.head_y
    for side in (-1, 1):
        pen.put(oval(x + 5.4 * side, y + 1, 1.9, 2.2), (40, 32, 48), outline=False)
        pen.put(oval(x + 9 * side, y + 5.6, 2.4, 1.8), mix(f.skin, (240, 100, 100), 0.35), outline=False)
    mouth_y = y + 6.5
    if f.who.drinking:
        pen.dash(oval(x + 2, mouth_y + 1, 1.6, 1.6), 1.6)
    elif f.who.smile:
        pen.put(curve(f"M{x - 5.5} {mouth_y - 1} L{x + 5.5} {mouth_y - 1} Q{x + 4.5} {mouth_y + 5.5} {x} {mouth_y + 5.5} "
                       f"Q{x - 4.5} {mouth_y + 5.5} {x - 5.5} {mouth_y - 1} Z"), _MOUTH, outline=False)
    else:
        pen.dash(curve(f"M{x - 3.5} {mouth_y + 1.5} L{x + 3.5} {mouth_y + 1.5}"), 1.8)


def _person_body(pen: Pen, f: Figure) -> None:
    x, man = f.x, f.who.kind == "man"
    if not man:
        pen.part = f.base + HAIR_PART
        pen.put(box(x - 18, 34, x + 18, 76, 15), f.hair)
    for side in (-1, 1):
        pen.part = f.base + TROUSERS
        leg = x + 6.5 * side
        if man:
            pen.put(box(leg - 5.5, 92, leg + 5.5, 116, 1), _TROUSERS)
        else:
            pen.part = f.base + SKIN
            pen.put(box(leg - 3.8, 98, leg + 3.8, 116, 1), f.skin)
            pen.part = f.base + TROUSERS
        pen.put(box(leg - 6 + side, 113, leg + 6 + side, 120, 3.2), _SHOE)
    pen.part = f.base + SKIN
    pen.put(box(x - 4, 56, x + 4, 68), f.skin)
    pen.part = f.base + SHIRT
    if man:
        pen.put(box(x - 15, 63, x + 15, 97, 7), f.shirt)
    else:
        pen.put(curve(f"M{x - 11} 63 L{x + 11} 63 L{x + 20} 102 Q{x} 107 {x - 20} 102 Z"), f.shirt)


def _person_head(pen: Pen, f: Figure) -> None:
    x, y = f.x, f.head_y
    pen.part = f.base + SKIN
    pen.put(oval(x, y, 14, 14.5), f.skin)
    _face(pen, f)
    pen.part = f.base + HAIR_PART
    if f.who.kind == "man":
        pen.put(curve(f"M{x - 14.5} {y} C{x - 18} {y - 22} {x + 18} {y - 22} {x + 14.5} {y} "
                       f"Q{x + 12} {y - 7} {x + 4} {y - 7} L{x - 8} {y - 7} Q{x - 13} {y - 6} {x - 14.5} {y} Z"), f.hair)
    else:
        pen.put(curve(f"M{x - 16} {y + 8} C{x - 22} {y - 24} {x + 22} {y - 24} {x + 16} {y + 8} "
                       f"Q{x + 13} {y - 3} {x + 5} {y - 8} Q{x - 8} {y - 3} {x - 12} {y - 1} Q{x - 14} {y + 2} {x - 16} {y + 8} Z"),
                f.hair)


def _animal_body(pen: Pen, f: Figure) -> None:
    x, cat = f.x, f.who.kind == "cat"
    pen.part = f.base + SKIN
    tail = f"M{x - 12} 112 Q{x - 28} 114 {x - 25} 94" if cat else f"M{x - 12} 110 Q{x - 22} 110 {x - 25} 100"
    pen.stroke(curve(tail), f.skin, 5.5)
    pen.part = f.base + SHIRT
    pen.put(curve(f"M{x - 12} 82 L{x + 12} 82 C{x + 22} 92 {x + 22} 112 {x + 15} 117 L{x - 15} 117 C{x - 22} 112 {x - 22} 92 "
                   f"{x - 12} 82 Z"), f.shirt)
    pen.part = f.base + SKIN
    for side in (-1, 1):
        pen.put(oval(x + 8.5 * side, 117, 7.5, 4.2), f.skin)


def _animal_head(pen: Pen, f: Figure) -> None:
    x, y, cat = f.x, f.head_y, f.who.kind == "cat"
    pen.part = f.base + SKIN
    if cat:
        for side in (-1, 1):
            pen.put(poly((x + 18 * side, y - 20), (x + 17 * side, y - 1), (x + 3 * side, y - 12)), f.skin)
    pen.put(oval(x, y, 18, 15.5), f.skin)
    pen.put(oval(x, y + 7, 8.5, 6.2), mix(f.skin, (255, 250, 240), 0.6), outline=False)
    _face(pen, f)
    pen.put(poly((x - 3, y + 2.6), (x + 3, y + 2.6), (x, y + 6)), (60, 44, 56), outline=False)
    pen.part = f.base + HAIR_PART
    if cat:
        pen.put(curve(f"M{x - 6} {y - 15} L{x + 6} {y - 15} L{x} {y - 5} Z"), f.hair, outline=False)
    else:
        for side in (-1, 1):
            pen.put(curve(f"M{x + 10 * side} {y - 13} Q{x + 22 * side} {y - 15} {x + 23 * side} {y + 2} "
                           f"Q{x + 22 * side} {y + 13} {x + 16 * side} {y + 8} Q{x + 13 * side} {y - 2} {x + 10 * side} {y - 13} Z"), f.hair)


def _arms(pen: Pen, f: Figure, hugging: int) -> None:
    """The arms of a figure and what it holds. `hugging`: 0, or the direction of the figure it holds."""
    x, who = f.x, f.who
    for side in (-1, 1):
        sx, sy = x + 13 * side, f.shoulder_y
        if hugging == side:
            continue
        if who.drinking and side == f.side:
            pen.part = f.base + HELD
            assert who.held is not None
            cup_x, cup_y = x + 19 * side, f.head_y + 28
            pen.stroke(curve(f"M{cup_x} {cup_y - 8} L{x + 4 * side} {f.head_y + 8}"), (250, 246, 240), 2.6)
            pen.canvas.save()
            pen.canvas.translate(cup_x, cup_y)
            put_cup(pen, thing_color(who.held))
            pen.canvas.restore()
            f.limb(pen, f"M{sx} {sy} L{sx + 3 * side} {sy + 14} L{cup_x - 8 * side} {cup_y + 8}", (cup_x - 7 * side, cup_y + 8))
        elif who.held and side == f.side:
            below = who.held.kind in ("umbrella", "balloon", "flower")
            pen.part = f.base + HELD
            if below:
                put_thing(pen, who.held, x + 27 * side, f.hand_y - 15)
            else:
                put_thing(pen, who.held, x + 30 * side, f.hand_y - 4)
            end = (x + 27 * side, f.hand_y) if below else (x + 19 * side, f.hand_y)
            f.limb(pen, f"M{sx} {sy} L{sx + 2 * side} {sy + 10} L{end[0] - 3 * side} {end[1]}", end)
        else:
            drop = 21 if f.person else 13
            f.limb(pen, f"M{sx} {sy} L{x + 18 * side} {sy + drop - 3}", (x + 18.5 * side, sy + drop))


def _figure(pen: Pen, f: Figure, hugging: int) -> None:
    (_person_body if f.person else _animal_body)(pen, f)
    (_person_head if f.person else _animal_head)(pen, f)
    _arms(pen, f, hugging)
    if f.who.hat:
        pen.part = f.base + HAT
        put_thing(pen, f.who.hat, f.x, f.hat_y)


def _render(scene: Scene, label_mode: bool) -> np.ndarray:
    pen = Pen(scene, label_mode)
    PLACES[scene.background](pen, scene.u, scene.tint)
    if scene.item:
        pen.part = ITEM
        hat = scene.item.kind in HAT_SHAPES
        put_thing(pen, scene.item, 64, 76 if hat else 64, 1.9 if hat else 1.8)
    xs = centres(scene)
    pair = len(xs) == 2
    figures = [
        Figure(who, x, base, -1 if pair and base == FIRST else 1)
        for who, x, base in zip(scene.characters, xs, (FIRST, SECOND))
    ]
    if scene.ground:
        pen.part = GROUND
        put_thing(pen, scene.ground, ground_x(scene), 104)
    for f in figures:
        _figure(pen, f, (1 if f.base == FIRST else -1) if scene.hug else 0)
    if scene.hug:
        for f, other in zip(figures, reversed(figures)):
            toward = 1 if other.x > f.x else -1
            y, end_y = f.shoulder_y, f.shoulder_y + (16 if toward > 0 else 7)
            f.limb(pen, f"M{f.x + 9 * toward} {y} L{other.x - 4 * toward} {end_y}", (other.x, end_y))
    return pen.pixels


def ground_x(scene: Scene) -> int:
    """The middle of the object on the ground."""
    xs = centres(scene) or (64,)
    return 64 if len(xs) == 2 else xs[0] + 39 * scene.ground_side


def draw(scene: Scene) -> np.ndarray:
    """The picture of a scene: uint8 [128, 128, 3]."""
    return _render(scene, False)[:, :, :3].copy()


def labels(scene: Scene) -> np.ndarray:
    """The part number of every pixel: uint8 [128, 128]."""
    return _render(scene, True)[:, :, 0].copy()
