"""Objects and hats. An object is drawn about its middle, a hat about the middle of its rim."""

from __future__ import annotations

import math

import skia

from .pen import Pen, box, curve, oval, poly
from .scenes import COLORS, RGB, Thing


def thing_color(thing: Thing) -> RGB:
    return tuple(max(0, min(255, c + d)) for c, d in zip(COLORS[thing.color], thing.jitter))  # type: ignore[return-value]


def put_cup(pen: Pen, c: RGB) -> None:
    pen.put(poly((-12, -12), (12, -12), (8.5, 15), (-8.5, 15)), (238, 244, 248))
    pen.put(poly((-11, -5), (11, -5), (8.2, 14.4), (-8.2, 14.4)), c)


def _juice(pen: Pen, c: RGB) -> None:
    pen.stroke(curve("M1 -8 L5 -19 L11 -20"), (250, 246, 240), 2.6)
    put_cup(pen, c)


def _ball(pen: Pen, c: RGB) -> None:
    pen.put(oval(0, 0, 14, 14), c)
    band = (252, 214, 70) if min(c) > 200 else (250, 248, 244)
    pen.put(curve("M-13 -4.5 Q0 1 13 -4.5 Q14.2 0 13 4.5 Q0 10 -13 4.5 Q-14.2 0 -13 -4.5 Z"), band, outline=False)
    pen.dash(oval(0, 0, 14, 14), pen.line)


def _umbrella(pen: Pen, c: RGB) -> None:
    pen.stroke(curve("M0 -6 L0 14 Q0 18 -4 18 Q-7 18 -7 14"), (150, 104, 70), 2.4)
    pen.put(curve("M-17 -2 C-16 -24 16 -24 17 -2 Q11.5 -7 6 -2 Q0 -7 -6 -2 Q-11.5 -7 -17 -2 Z"), c)


def _balloon(pen: Pen, c: RGB) -> None:
    pen.dash(curve("M0 3 Q3 10 0 19"), 2.0)
    pen.put(poly((-4, 6), (4, 6), (0, 0)), c)
    pen.put(oval(0, -11, 13.5, 15), c)
    pen.put(oval(-5, -17, 2.6, 3.6), (255, 255, 255), outline=False)


def _flower(pen: Pen, c: RGB) -> None:
    pen.stroke(curve("M0 4 L0 18"), (62, 150, 82), 3.0)
    pen.put(curve("M1 16 Q10 14 11 6 Q3 7 1 16 Z"), (62, 150, 82))
    petals = skia.Path()
    for k in range(5):
        a = math.pi * (0.4 * k - 0.5)
        petals.addPath(oval(8.2 * math.cos(a), -5 + 8.2 * math.sin(a), 6.6, 6.6))
    pen.stroke(petals, c, 0.1)
    pen.put(petals, c, outline=False)
    pen.put(oval(0, -5, 4.6, 4.6), (130, 84, 50) if c[0] > 180 and c[1] > 120 else (252, 214, 70))


def _gift(pen: Pen, c: RGB) -> None:
    ribbon = (222, 52, 56) if min(c) > 200 or (c[0] > 220 and c[1] > 170) else (252, 232, 150)
    pen.put(oval(-5.5, -11, 5, 3.6), ribbon)
    pen.put(oval(5.5, -11, 5, 3.6), ribbon)
    pen.put(box(-13, -8, 13, 14, 1), c)
    pen.put(box(-3, -8, 3, 14), ribbon, outline=False)


_OBJECTS = {
    "juice": _juice, "ball": _ball, "umbrella": _umbrella, "balloon": _balloon, "flower": _flower, "gift": _gift,
}


def _cap(pen: Pen, c: RGB) -> None:
    pen.put(curve("M-15 2 C-16 -17 15 -17 15 2 Z"), c)
    pen.put(curve("M-2 2 Q14 -5 24 1 Q25 4 22 4 L0 4 Q-3 4 -2 2 Z"), c)


def _top_hat(pen: Pen, c: RGB) -> None:
    pen.put(box(-11, -20, 11, 1, 2), c)
    pen.put(box(-10.4, -5, 10.4, -1), (250, 246, 240) if max(c) < 80 else (70, 60, 78), outline=False)
    pen.put(box(-18, -1, 18, 4, 2.5), c)


def _crown(pen: Pen, c: RGB) -> None:
    pen.put(poly((-15, 4), (-16.5, -14), (-8, -6), (0, -17), (8, -6), (16.5, -14), (15, 4)), c)


def _party_hat(pen: Pen, c: RGB) -> None:
    pen.put(poly((-13, 3), (0, -24), (13, 3)), c)
    band = (252, 214, 70) if min(c) > 200 else (250, 248, 244)
    pen.put(poly((-9.6, -4), (-6.4, -10.5), (6.4, -10.5), (9.6, -4)), band, outline=False)
    pen.put(oval(0, -24, 4.2, 4.2), band)


HAT_SHAPES = {"cap": _cap, "top hat": _top_hat, "crown": _crown, "party hat": _party_hat}


def put_thing(pen: Pen, thing: Thing, x: float, y: float, scale: float = 1.0) -> None:
    """Draws an object or a hat. An object's origin is its middle, a hat's the middle of its rim."""
    pen.canvas.save()
    pen.canvas.translate(x, y)
    pen.canvas.scale(scale, scale)
    shape = _OBJECTS.get(thing.kind) or HAT_SHAPES[thing.kind]
    shape(pen, thing_color(thing))
    pen.canvas.restore()
