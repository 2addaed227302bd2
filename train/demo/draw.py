"""Draws a scene: `draw` as a picture, `labels` as the map of its parts.

Both run the same code. A `Pen` holds the canvas and turns the world's daylight colours into those of the scene's mood and
style; in label mode it paints part numbers instead, without anti-aliasing. Outlines belong to the part they enclose.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
import skia

from .scenes import COLORS, FUR, HAIR, HUG_X, PAIR_X, PEOPLE, PLAIN, RGB, SKINS, Character, Scene, Thing, centres

SIZE = 128

# Parts of the label map. A figure's parts are counted from FIRST or SECOND.
BACKGROUND = 0
FIRST, SECOND = 1, 11
SKIN, HAIR_PART, SHIRT, TROUSERS, HAT, HELD = range(6)
PART_NAMES = ("skin", "hair", "shirt", "trousers", "hat", "object")
GROUND = 21
ITEM = 22

_INK: RGB = (50, 40, 62)
_PENCIL: RGB = (104, 98, 104)
_PAPER: RGB = (250, 246, 236)
_WASH = 0.5  # share of paper in the colours of a drawing
_LIGHT: dict[str, tuple[float, float, float]] = {  # what mood makes of the colours of things
    "day": (1.0, 1.0, 1.0),
    "night": (0.62, 0.64, 0.88),
    "golden": (1.0, 0.86, 0.62),
}
_FAR_LIGHT = dict(_LIGHT, night=(0.36, 0.42, 0.72))  # and of backgrounds
_SKY: dict[str, tuple[RGB, RGB]] = {  # top and horizon
    "day": ((134, 200, 250), (214, 238, 252)),
    "night": ((40, 46, 112), (92, 92, 166)),
    "golden": ((246, 146, 92), (255, 222, 150)),
}
_DISC: dict[str, RGB] = {"day": (255, 220, 84), "night": (246, 242, 220), "golden": (255, 244, 196)}
_GROUND_Y = 90


def _mix(a: RGB, b: RGB, share: float) -> RGB:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b))  # type: ignore[return-value]


def _lit(color: RGB, light: tuple[float, float, float]) -> RGB:
    return tuple(min(255, round(c * k)) for c, k in zip(color, light))  # type: ignore[return-value]


@lru_cache(maxsize=4096)
def _paint(color: RGB, smooth: bool, stroke: float) -> skia.Paint:
    paint = skia.Paint(Color=skia.ColorSetRGB(*color), AntiAlias=smooth)
    if stroke:
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(stroke)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
    return paint


def _poly(*points: tuple[float, float]) -> skia.Path:
    return skia.Path.Polygon([skia.Point(*p) for p in points], True)


def _oval(x: float, y: float, rx: float, ry: float) -> skia.Path:
    return skia.Path.Oval(skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry))


def _box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> skia.Path:
    return skia.Path.RRect(skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(left, top, right, bottom), radius, radius))


@lru_cache(maxsize=4096)
def _curve(text: str) -> skia.Path:
    """A path of moves (M), lines (L), quadratic (Q) and cubic (C) curves and closures (Z), in absolute coordinates."""
    path = skia.Path()
    for letter, numbers in re.findall(r"([MLQCZ])([^MLQCZ]*)", text):
        values = [float(v) for v in numbers.split()]
        if letter == "Z":
            path.close()
        elif letter == "L":
            for k in range(0, len(values), 2):
                path.lineTo(values[k], values[k + 1])
        elif letter == "M":
            path.moveTo(*values)
        else:
            step, add = (4, path.quadTo) if letter == "Q" else (6, path.cubicTo)
            for k in range(0, len(values), step):
                add(*values[k : k + step])
    return path


class Pen:
    """A canvas and the scene's way of colouring."""

    def __init__(self, scene: Scene, label_mode: bool) -> None:
        self.pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
        self.canvas = skia.Surface(self.pixels).getCanvas()
        self.label_mode = label_mode
        self.mood = scene.mood
        self.drawing = scene.style == "drawing"
        self.part = BACKGROUND
        self.line = 1.5 if self.drawing else 1.8

    def shade(self, color: RGB, far: bool) -> RGB:
        """A colour of the world as it looks in this scene."""
        if self.label_mode:
            return (self.part,) * 3
        if self.drawing:
            color = _mix(color, _PAPER, _WASH)
        return _lit(color, (_FAR_LIGHT if far else _LIGHT)[self.mood])

    def ink(self) -> RGB:
        """The colour of outlines."""
        if self.label_mode:
            return (self.part,) * 3
        return _lit(_PENCIL if self.drawing else _INK, _LIGHT[self.mood])

    def put(self, path: skia.Path, color: RGB, outline: bool = True) -> None:
        """Fills a shape of a thing, with its outline."""
        smooth = not self.label_mode
        self.canvas.drawPath(path, _paint(self.shade(color, False), smooth, 0.0))
        if outline:
            self.canvas.drawPath(path, _paint(self.ink(), smooth, self.line))

    def far(self, path: skia.Path, color: RGB, exact: bool = False) -> None:
        """Fills a shape of the background; `exact`: a light or a sky, whose colour is the mood's own."""
        smooth = not self.label_mode
        if exact and not self.label_mode:
            color = _mix(color, _PAPER, _WASH) if self.drawing else color
        else:
            color = self.shade(color, True)
        self.canvas.drawPath(path, _paint(color, smooth, 0.0))
        if self.drawing:
            self.canvas.drawPath(path, _paint(self.ink(), smooth, 1.2))

    def stroke(self, path: skia.Path, color: RGB, width: float, outline: bool = True) -> None:
        """A thick line of a thing, with its outline."""
        smooth = not self.label_mode
        if outline:
            self.canvas.drawPath(path, _paint(self.ink(), smooth, width + 2 * self.line - 0.6))
        self.canvas.drawPath(path, _paint(self.shade(color, False), smooth, width))

    def dash(self, path: skia.Path, width: float) -> None:
        """A line in the colour of outlines."""
        self.canvas.drawPath(path, _paint(self.ink(), not self.label_mode, width))


# --- Backgrounds ---------------------------------------------------------------------------------------------------


def _sky(pen: Pen, tint: int, bottom: float) -> None:
    if pen.label_mode:
        return
    top, low = _SKY[pen.mood]
    shift: RGB = ((0, 0, 0), (18, -6, -14), (-18, -2, 10))[tint]  # type: ignore[assignment]
    ends = [tuple(max(0, min(255, c + d)) for c, d in zip(end, shift)) for end in (top, low)]
    if pen.drawing:
        ends = [_mix(end, _PAPER, _WASH) for end in ends]
    paint = skia.Paint(
        Shader=skia.GradientShader.MakeLinear(
            [skia.Point(0, 0), skia.Point(0, bottom)], [skia.ColorSetRGB(*end) for end in ends]
        )
    )
    pen.canvas.drawRect(skia.Rect.MakeLTRB(0, 0, SIZE, bottom), paint)
    if pen.mood == "night":
        for x, y in ((14, 30), (40, 10), (64, 22), (88, 9), (114, 32)):
            pen.far(_oval(x, y, 1.5, 1.5), (236, 236, 214), exact=True)


def _disc(pen: Pen, x: float, y: float) -> None:
    """The sun, or at night the moon."""
    pen.far(_oval(x, y, 9.5, 9.5), _DISC[pen.mood], exact=True)


def _floor(pen: Pen, color: RGB, y: float = _GROUND_Y) -> None:
    pen.far(_box(-3, y, SIZE + 3, SIZE + 3), color)


def _spot(u: float) -> float:
    return 14 + 100 * u


def _park(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 20)
    pen.far(_oval(_spot(1 - u), 100, 62, 26), (150, 206, 130))
    pen.far(_oval(_spot(u) + 6, 104, 58, 22), (132, 196, 116))
    _floor(pen, ((124, 190, 92), (150, 196, 88), (106, 186, 112))[tint])
    x = _spot(u)
    pen.far(_box(x - 4, 66, x + 4, 97, 2), (140, 98, 64))
    pen.far(_curve(f"M{x - 18} 66 C{x - 28} 50 {x - 16} 40 {x - 10} 42 C{x - 8} 28 {x + 8} 28 {x + 10} 42 "
                   f"C{x + 18} 40 {x + 28} 52 {x + 18} 66 C{x + 10} 72 {x - 10} 72 {x - 18} 66 Z"), (74, 150, 82))


def _beach(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, 62)
    _disc(pen, _spot(1 - u), 20)
    pen.far(_box(-3, 60, SIZE + 3, 96), ((52, 146, 206), (66, 164, 200), (54, 128, 204))[tint])
    _floor(pen, ((244, 222, 164), (236, 210, 150), (248, 232, 188))[tint], 94)
    x = _spot(u)
    pen.far(_poly((x - 1, 38), (x - 1, 63), (x - 15, 63)), (250, 250, 250))
    pen.far(_poly((x + 2, 42), (x + 2, 63), (x + 12, 63)), (244, 120, 96))
    pen.far(_curve(f"M{x - 17} 66 L{x + 17} 66 Q{x + 14} 75 {x + 8} 75 L{x - 9} 75 Q{x - 15} 75 {x - 17} 66 Z"), (150, 92, 62))


def _room(pen: Pen, u: float, tint: int) -> None:
    pen.far(_box(-3, -3, SIZE + 3, 93), ((250, 226, 200), (214, 230, 220), (236, 216, 232))[tint])
    _floor(pen, ((186, 130, 90), (170, 120, 88), (196, 146, 108))[tint])
    pen.far(_box(-3, 87, SIZE + 3, 92), (250, 246, 240))
    x = _spot(u)
    pen.far(_box(x - 15, 18, x + 15, 56, 2), (252, 250, 246))
    pen.far(_box(x - 11.5, 22, x + 11.5, 52), _SKY[pen.mood][0], exact=True)
    if not pen.drawing:
        pen.far(_box(x - 1.5, 20, x + 1.5, 54), (252, 250, 246))
    y = _spot(1 - u)
    pen.far(_box(y - 12, 24, y + 12, 48, 2), (170, 116, 78))
    pen.far(_box(y - 9, 27, y + 9, 45), (246, 210, 120))
    pen.far(_poly((y - 9, 45), (y - 1, 33), (y + 7, 45)), (110, 160, 140))


def _city(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 18)
    shift = round(24 * (u - 0.5))
    pane = (255, 222, 120) if pen.mood == "night" else (226, 240, 250)
    blocks = ((-22, 46, 0), (4, 62, 1), (26, 38, 2), (50, 56, 0), (72, 44, 1), (96, 60, 2), (118, 36, 0), (140, 54, 1))
    walls = ((154, 166, 204), (180, 160, 190), (140, 178, 192))
    for left, top, wall in blocks:
        x = left + shift
        pen.far(_box(x, top, x + 22, 93), walls[(wall + tint) % 3])
        for y in range(top + 6, 84, 13):
            pen.far(_box(x + 4, y, x + 9, y + 6), pane, exact=pen.mood == "night")
            pen.far(_box(x + 13, y, x + 18, y + 6), pane, exact=pen.mood == "night")
    _floor(pen, (128, 128, 140))
    pen.far(_box(-3, 90, SIZE + 3, 95), (196, 196, 204))


def _mountains(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 18)
    x = _spot(1 - u) + 4
    pen.far(_poly((x - 44, 94), (x, 48), (x + 44, 94)), (152, 172, 206))
    x = _spot(u)
    pen.far(_poly((x - 54, 96), (x, 24), (x + 54, 96)), ((118, 140, 184), (128, 136, 176), (104, 144, 184))[tint])
    pen.far(_poly((x - 15, 44), (x, 24), (x + 15, 44), (x + 7, 40), (x, 48), (x - 7, 40)), (252, 252, 254))
    _floor(pen, ((232, 240, 250), (240, 238, 246), (222, 238, 246))[tint])
    x = _spot(1 - u)
    pen.far(_poly((x - 12, 92), (x, 62), (x + 12, 92)), (62, 128, 104))


def _desert(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 20)
    pen.far(_oval(_spot(1 - u) + 8, 106, 66, 32), (240, 190, 122))
    pen.far(_oval(_spot(u) - 8, 106, 60, 24), (228, 170, 104))
    _floor(pen, ((238, 194, 132), (228, 178, 118), (244, 206, 148))[tint], 92)
    x = _spot(u)
    pen.far(_curve(f"M{x - 5} 98 L{x - 5} 84 Q{x - 16} 84 {x - 16} 74 L{x - 16} 63 Q{x - 12} 57 {x - 8} 63 L{x - 8} 74 "
                   f"L{x - 5} 74 L{x - 5} 52 Q{x} 42 {x + 5} 52 L{x + 5} 78 L{x + 8} 78 L{x + 8} 67 Q{x + 12} 61 {x + 16} 67 "
                   f"L{x + 16} 78 Q{x + 16} 88 {x + 5} 88 L{x + 5} 98 Z"), (70, 150, 96))


def _plain(pen: Pen, u: float, tint: int) -> None:
    pen.far(_box(-3, -3, SIZE + 3, SIZE + 3), ((246, 236, 222), (224, 236, 244), (232, 238, 222))[tint])


_BACKGROUNDS = {
    "park": _park, "beach": _beach, "room": _room, "city": _city, "mountains": _mountains, "desert": _desert, PLAIN: _plain,
}


# --- Objects and hats ----------------------------------------------------------------------------------------------


def _color(thing: Thing) -> RGB:
    return tuple(max(0, min(255, c + d)) for c, d in zip(COLORS[thing.color], thing.jitter))  # type: ignore[return-value]


def _cup(pen: Pen, c: RGB) -> None:
    pen.put(_poly((-12, -12), (12, -12), (8.5, 15), (-8.5, 15)), (238, 244, 248))
    pen.put(_poly((-11, -5), (11, -5), (8.2, 14.4), (-8.2, 14.4)), c)


def _juice(pen: Pen, c: RGB) -> None:
    pen.stroke(_curve("M1 -8 L5 -19 L11 -20"), (250, 246, 240), 2.6)
    _cup(pen, c)


def _ball(pen: Pen, c: RGB) -> None:
    pen.put(_oval(0, 0, 14, 14), c)
    band = (252, 214, 70) if min(c) > 200 else (250, 248, 244)
    pen.put(_curve("M-13 -4.5 Q0 1 13 -4.5 Q14.2 0 13 4.5 Q0 10 -13 4.5 Q-14.2 0 -13 -4.5 Z"), band, outline=False)
    pen.dash(_oval(0, 0, 14, 14), pen.line)


def _umbrella(pen: Pen, c: RGB) -> None:
    pen.stroke(_curve("M0 -6 L0 14 Q0 18 -4 18 Q-7 18 -7 14"), (150, 104, 70), 2.4)
    pen.put(_curve("M-17 -2 C-16 -24 16 -24 17 -2 Q11.5 -7 6 -2 Q0 -7 -6 -2 Q-11.5 -7 -17 -2 Z"), c)


def _balloon(pen: Pen, c: RGB) -> None:
    pen.dash(_curve("M0 3 Q3 10 0 19"), 2.0)
    pen.put(_poly((-4, 6), (4, 6), (0, 0)), c)
    pen.put(_oval(0, -11, 13.5, 15), c)
    pen.put(_oval(-5, -17, 2.6, 3.6), (255, 255, 255), outline=False)


def _flower(pen: Pen, c: RGB) -> None:
    pen.stroke(_curve("M0 4 L0 18"), (62, 150, 82), 3.0)
    pen.put(_curve("M1 16 Q10 14 11 6 Q3 7 1 16 Z"), (62, 150, 82))
    petals = skia.Path()
    for k in range(5):
        a = math.pi * (0.4 * k - 0.5)
        petals.addPath(_oval(8.2 * math.cos(a), -5 + 8.2 * math.sin(a), 6.6, 6.6))
    pen.stroke(petals, c, 0.1)
    pen.put(petals, c, outline=False)
    pen.put(_oval(0, -5, 4.6, 4.6), (130, 84, 50) if c[0] > 180 and c[1] > 120 else (252, 214, 70))


def _gift(pen: Pen, c: RGB) -> None:
    ribbon = (222, 52, 56) if min(c) > 200 or (c[0] > 220 and c[1] > 170) else (252, 232, 150)
    pen.put(_oval(-5.5, -11, 5, 3.6), ribbon)
    pen.put(_oval(5.5, -11, 5, 3.6), ribbon)
    pen.put(_box(-13, -8, 13, 14, 1), c)
    pen.put(_box(-3, -8, 3, 14), ribbon, outline=False)


_OBJECTS = {
    "juice": _juice, "ball": _ball, "umbrella": _umbrella, "balloon": _balloon, "flower": _flower, "gift": _gift,
}


def _cap(pen: Pen, c: RGB) -> None:
    pen.put(_curve("M-15 2 C-16 -17 15 -17 15 2 Z"), c)
    pen.put(_curve("M-2 2 Q14 -5 24 1 Q25 4 22 4 L0 4 Q-3 4 -2 2 Z"), c)


def _top_hat(pen: Pen, c: RGB) -> None:
    pen.put(_box(-11, -20, 11, 1, 2), c)
    pen.put(_box(-10.4, -5, 10.4, -1), (250, 246, 240) if max(c) < 80 else (70, 60, 78), outline=False)
    pen.put(_box(-18, -1, 18, 4, 2.5), c)


def _crown(pen: Pen, c: RGB) -> None:
    pen.put(_poly((-15, 4), (-16.5, -14), (-8, -6), (0, -17), (8, -6), (16.5, -14), (15, 4)), c)


def _party_hat(pen: Pen, c: RGB) -> None:
    pen.put(_poly((-13, 3), (0, -24), (13, 3)), c)
    band = (252, 214, 70) if min(c) > 200 else (250, 248, 244)
    pen.put(_poly((-9.6, -4), (-6.4, -10.5), (6.4, -10.5), (9.6, -4)), band, outline=False)
    pen.put(_oval(0, -24, 4.2, 4.2), band)


_HATS = {"cap": _cap, "top hat": _top_hat, "crown": _crown, "party hat": _party_hat}


def _thing(pen: Pen, thing: Thing, x: float, y: float, scale: float = 1.0) -> None:
    """Draws an object or a hat. An object's origin is its middle, a hat's the middle of its rim."""
    pen.canvas.save()
    pen.canvas.translate(x, y)
    pen.canvas.scale(scale, scale)
    shape = _OBJECTS.get(thing.kind) or _HATS[thing.kind]
    shape(pen, _color(thing))
    pen.canvas.restore()


# --- Figures -------------------------------------------------------------------------------------------------------

_TROUSERS: RGB = (70, 84, 140)
_SHOE: RGB = (112, 78, 62)
_MOUTH: RGB = (206, 52, 62)


class Figure:
    """Where the parts of one figure stand."""

    def __init__(self, who: Character, x: int, base: int, side: int) -> None:
        self.who, self.x, self.base, self.side = who, x, base, side
        self.person = who.kind in PEOPLE
        self.skin = SKINS[who.skin] if self.person else FUR[who.hair]
        self.hair = HAIR[who.hair] if self.person else _mix(FUR[who.hair], (90, 56, 40), 0.45)
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
        pen.stroke(_curve(points), self.shirt, 7.5)
        pen.part = self.base + SKIN
        pen.put(_oval(*hand, 4.6, 4.6), self.skin)


def _face(pen: Pen, f: Figure) -> None:
    x, y = f.x, f.head_y
    for side in (-1, 1):
        pen.put(_oval(x + 5.4 * side, y + 1, 1.9, 2.2), (40, 32, 48), outline=False)
        pen.put(_oval(x + 9 * side, y + 5.6, 2.4, 1.8), _mix(f.skin, (240, 100, 100), 0.35), outline=False)
    mouth_y = y + 6.5
    if f.who.drinking:
        pen.dash(_oval(x + 2, mouth_y + 1, 1.6, 1.6), 1.6)
    elif f.who.smile:
        pen.put(_curve(f"M{x - 5.5} {mouth_y - 1} L{x + 5.5} {mouth_y - 1} Q{x + 4.5} {mouth_y + 5.5} {x} {mouth_y + 5.5} "
                       f"Q{x - 4.5} {mouth_y + 5.5} {x - 5.5} {mouth_y - 1} Z"), _MOUTH, outline=False)
    else:
        pen.dash(_curve(f"M{x - 3.5} {mouth_y + 1.5} L{x + 3.5} {mouth_y + 1.5}"), 1.8)


def _person_body(pen: Pen, f: Figure) -> None:
    x, man = f.x, f.who.kind == "man"
    if not man:
        pen.part = f.base + HAIR_PART
        pen.put(_box(x - 18, 34, x + 18, 76, 15), f.hair)
    for side in (-1, 1):
        pen.part = f.base + TROUSERS
        leg = x + 6.5 * side
        if man:
            pen.put(_box(leg - 5.5, 92, leg + 5.5, 116, 1), _TROUSERS)
        else:
            pen.part = f.base + SKIN
            pen.put(_box(leg - 3.8, 98, leg + 3.8, 116, 1), f.skin)
            pen.part = f.base + TROUSERS
        pen.put(_box(leg - 6 + side, 113, leg + 6 + side, 120, 3.2), _SHOE)
    pen.part = f.base + SKIN
    pen.put(_box(x - 4, 56, x + 4, 68), f.skin)
    pen.part = f.base + SHIRT
    if man:
        pen.put(_box(x - 15, 63, x + 15, 97, 7), f.shirt)
    else:
        pen.put(_curve(f"M{x - 11} 63 L{x + 11} 63 L{x + 20} 102 Q{x} 107 {x - 20} 102 Z"), f.shirt)


def _person_head(pen: Pen, f: Figure) -> None:
    x, y = f.x, f.head_y
    pen.part = f.base + SKIN
    pen.put(_oval(x, y, 14, 14.5), f.skin)
    _face(pen, f)
    pen.part = f.base + HAIR_PART
    if f.who.kind == "man":
        pen.put(_curve(f"M{x - 14.5} {y} C{x - 18} {y - 22} {x + 18} {y - 22} {x + 14.5} {y} "
                       f"Q{x + 12} {y - 7} {x + 4} {y - 7} L{x - 8} {y - 7} Q{x - 13} {y - 6} {x - 14.5} {y} Z"), f.hair)
    else:
        pen.put(_curve(f"M{x - 16} {y + 8} C{x - 22} {y - 24} {x + 22} {y - 24} {x + 16} {y + 8} "
                       f"Q{x + 13} {y - 3} {x + 5} {y - 8} Q{x - 8} {y - 3} {x - 12} {y - 1} Q{x - 14} {y + 2} {x - 16} {y + 8} Z"),
                f.hair)


def _animal_body(pen: Pen, f: Figure) -> None:
    x, cat = f.x, f.who.kind == "cat"
    pen.part = f.base + SKIN
    tail = f"M{x - 12} 112 Q{x - 28} 114 {x - 25} 94" if cat else f"M{x - 12} 110 Q{x - 22} 110 {x - 25} 100"
    pen.stroke(_curve(tail), f.skin, 5.5)
    pen.part = f.base + SHIRT
    pen.put(_curve(f"M{x - 12} 82 L{x + 12} 82 C{x + 22} 92 {x + 22} 112 {x + 15} 117 L{x - 15} 117 C{x - 22} 112 {x - 22} 92 "
                   f"{x - 12} 82 Z"), f.shirt)
    pen.part = f.base + SKIN
    for side in (-1, 1):
        pen.put(_oval(x + 8.5 * side, 117, 7.5, 4.2), f.skin)


def _animal_head(pen: Pen, f: Figure) -> None:
    x, y, cat = f.x, f.head_y, f.who.kind == "cat"
    pen.part = f.base + SKIN
    if cat:
        for side in (-1, 1):
            pen.put(_poly((x + 18 * side, y - 20), (x + 17 * side, y - 1), (x + 3 * side, y - 12)), f.skin)
    pen.put(_oval(x, y, 18, 15.5), f.skin)
    pen.put(_oval(x, y + 7, 8.5, 6.2), _mix(f.skin, (255, 250, 240), 0.6), outline=False)
    _face(pen, f)
    pen.put(_poly((x - 3, y + 2.6), (x + 3, y + 2.6), (x, y + 6)), (60, 44, 56), outline=False)
    pen.part = f.base + HAIR_PART
    if cat:
        pen.put(_curve(f"M{x - 6} {y - 15} L{x + 6} {y - 15} L{x} {y - 5} Z"), f.hair, outline=False)
    else:
        for side in (-1, 1):
            pen.put(_curve(f"M{x + 10 * side} {y - 13} Q{x + 22 * side} {y - 15} {x + 23 * side} {y + 2} "
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
            pen.stroke(_curve(f"M{cup_x} {cup_y - 8} L{x + 4 * side} {f.head_y + 8}"), (250, 246, 240), 2.6)
            pen.canvas.save()
            pen.canvas.translate(cup_x, cup_y)
            _cup(pen, _color(who.held))
            pen.canvas.restore()
            f.limb(pen, f"M{sx} {sy} L{sx + 3 * side} {sy + 14} L{cup_x - 8 * side} {cup_y + 8}", (cup_x - 7 * side, cup_y + 8))
        elif who.held and side == f.side:
            hand = (x + 23 * side, f.hand_y)
            below = who.held.kind in ("umbrella", "balloon", "flower")
            pen.part = f.base + HELD
            if below:
                _thing(pen, who.held, x + 27 * side, f.hand_y - 15)
            else:
                _thing(pen, who.held, x + 30 * side, f.hand_y - 4)
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
        _thing(pen, f.who.hat, f.x, f.hat_y)


def _render(scene: Scene, label_mode: bool) -> np.ndarray:
    pen = Pen(scene, label_mode)
    _BACKGROUNDS[scene.background](pen, scene.u, scene.tint)
    if scene.item:
        pen.part = ITEM
        hat = scene.item.kind in _HATS
        _thing(pen, scene.item, 64, 76 if hat else 64, 1.9 if hat else 1.8)
    xs = centres(scene)
    pair = len(xs) == 2
    figures = [
        Figure(who, x, base, -1 if pair and base == FIRST else 1)
        for who, x, base in zip(scene.characters, xs, (FIRST, SECOND))
    ]
    if scene.ground:
        pen.part = GROUND
        _thing(pen, scene.ground, ground_x(scene), 104)
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
