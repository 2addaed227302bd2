"""The backgrounds of the world. `u` is where their features stand, `tint` one of three shades."""

from __future__ import annotations

import skia

from .pen import DISC, PAPER, SIZE, SKY, WASH, Pen, box, curve, mix, oval, poly
from .scenes import PLAIN, RGB

_GROUND_Y = 90


def _sky(pen: Pen, tint: int, bottom: float) -> None:
    if pen.label_mode:
        return
    top, low = SKY[pen.mood]
    shift: RGB = ((0, 0, 0), (18, -6, -14), (-18, -2, 10))[tint]  # type: ignore[assignment]
    ends = [tuple(max(0, min(255, c + d)) for c, d in zip(end, shift)) for end in (top, low)]
    if pen.drawing:
        ends = [mix(end, PAPER, WASH) for end in ends]
    paint = skia.Paint(
        Shader=skia.GradientShader.MakeLinear(
            [skia.Point(0, 0), skia.Point(0, bottom)], [skia.ColorSetRGB(*end) for end in ends]
        )
    )
    pen.canvas.drawRect(skia.Rect.MakeLTRB(0, 0, SIZE, bottom), paint)
    if pen.mood == "night":
        for x, y in ((14, 30), (40, 10), (64, 22), (88, 9), (114, 32)):
            pen.far(oval(x, y, 1.5, 1.5), (236, 236, 214), exact=True)


def _disc(pen: Pen, x: float, y: float) -> None:
    """The sun, or at night the moon."""
    pen.far(oval(x, y, 9.5, 9.5), DISC[pen.mood], exact=True)


def _floor(pen: Pen, color: RGB, y: float = _GROUND_Y) -> None:
    pen.far(box(-3, y, SIZE + 3, SIZE + 3), color)


def _spot(u: float) -> float:
    return 14 + 100 * u


def _park(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 20)
    pen.far(oval(_spot(1 - u), 100, 62, 26), (150, 206, 130))
    pen.far(oval(_spot(u) + 6, 104, 58, 22), (132, 196, 116))
    _floor(pen, ((124, 190, 92), (150, 196, 88), (106, 186, 112))[tint])
    x = _spot(u)
    pen.far(box(x - 4, 66, x + 4, 97, 2), (140, 98, 64))
    pen.far(curve(f"M{x - 18} 66 C{x - 28} 50 {x - 16} 40 {x - 10} 42 C{x - 8} 28 {x + 8} 28 {x + 10} 42 "
                   f"C{x + 18} 40 {x + 28} 52 {x + 18} 66 C{x + 10} 72 {x - 10} 72 {x - 18} 66 Z"), (74, 150, 82))


def _beach(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, 62)
    _disc(pen, _spot(1 - u), 20)
    pen.far(box(-3, 60, SIZE + 3, 96), ((52, 146, 206), (66, 164, 200), (54, 128, 204))[tint])
    _floor(pen, ((244, 222, 164), (236, 210, 150), (248, 232, 188))[tint], 94)
    x = _spot(u)
    pen.far(poly((x - 1, 38), (x - 1, 63), (x - 15, 63)), (250, 250, 250))
    pen.far(poly((x + 2, 42), (x + 2, 63), (x + 12, 63)), (244, 120, 96))
    pen.far(curve(f"M{x - 17} 66 L{x + 17} 66 Q{x + 14} 75 {x + 8} 75 L{x - 9} 75 Q{x - 15} 75 {x - 17} 66 Z"), (150, 92, 62))


def _room(pen: Pen, u: float, tint: int) -> None:
    pen.far(box(-3, -3, SIZE + 3, 93), ((250, 226, 200), (214, 230, 220), (236, 216, 232))[tint])
    _floor(pen, ((186, 130, 90), (170, 120, 88), (196, 146, 108))[tint])
    pen.far(box(-3, 87, SIZE + 3, 92), (250, 246, 240))
    x = _spot(u)
    pen.far(box(x - 15, 18, x + 15, 56, 2), (252, 250, 246))
    pen.far(box(x - 11.5, 22, x + 11.5, 52), SKY[pen.mood][0], exact=True)
    if not pen.drawing:
        pen.far(box(x - 1.5, 20, x + 1.5, 54), (252, 250, 246))
    y = _spot(1 - u)
    pen.far(box(y - 12, 24, y + 12, 48, 2), (170, 116, 78))
    pen.far(box(y - 9, 27, y + 9, 45), (246, 210, 120))
    pen.far(poly((y - 9, 45), (y - 1, 33), (y + 7, 45)), (110, 160, 140))


def _city(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 18)
    shift = round(24 * (u - 0.5))
    pane = (255, 222, 120) if pen.mood == "night" else (226, 240, 250)
    blocks = ((-22, 46, 0), (4, 62, 1), (26, 38, 2), (50, 56, 0), (72, 44, 1), (96, 60, 2), (118, 36, 0), (140, 54, 1))
    walls = ((154, 166, 204), (180, 160, 190), (140, 178, 192))
    for left, top, wall in blocks:
        x = left + shift
        pen.far(box(x, top, x + 22, 93), walls[(wall + tint) % 3])
        for y in range(top + 6, 84, 13):
            pen.far(box(x + 4, y, x + 9, y + 6), pane, exact=pen.mood == "night")
            pen.far(box(x + 13, y, x + 18, y + 6), pane, exact=pen.mood == "night")
    _floor(pen, (128, 128, 140))
    pen.far(box(-3, 90, SIZE + 3, 95), (196, 196, 204))


def _mountains(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 18)
    x = _spot(1 - u) + 4
    pen.far(poly((x - 44, 94), (x, 48), (x + 44, 94)), (152, 172, 206))
    x = _spot(u)
    pen.far(poly((x - 54, 96), (x, 24), (x + 54, 96)), ((118, 140, 184), (128, 136, 176), (104, 144, 184))[tint])
    pen.far(poly((x - 15, 44), (x, 24), (x + 15, 44), (x + 7, 40), (x, 48), (x - 7, 40)), (252, 252, 254))
    _floor(pen, ((232, 240, 250), (240, 238, 246), (222, 238, 246))[tint])
    x = _spot(1 - u)
    pen.far(poly((x - 12, 92), (x, 62), (x + 12, 92)), (62, 128, 104))


def _desert(pen: Pen, u: float, tint: int) -> None:
    _sky(pen, tint, _GROUND_Y)
    _disc(pen, _spot(1 - u), 20)
    pen.far(oval(_spot(1 - u) + 8, 106, 66, 32), (240, 190, 122))
    pen.far(oval(_spot(u) - 8, 106, 60, 24), (228, 170, 104))
    _floor(pen, ((238, 194, 132), (228, 178, 118), (244, 206, 148))[tint], 92)
    x = _spot(u)
    pen.far(curve(f"M{x - 5} 98 L{x - 5} 84 Q{x - 16} 84 {x - 16} 74 L{x - 16} 63 Q{x - 12} 57 {x - 8} 63 L{x - 8} 74 "
                   f"L{x - 5} 74 L{x - 5} 52 Q{x} 42 {x + 5} 52 L{x + 5} 78 L{x + 8} 78 L{x + 8} 67 Q{x + 12} 61 {x + 16} 67 "
                   f"L{x + 16} 78 Q{x + 16} 88 {x + 5} 88 L{x + 5} 98 Z"), (70, 150, 96))


def _plain(pen: Pen, u: float, tint: int) -> None:
    pen.far(box(-3, -3, SIZE + 3, SIZE + 3), ((246, 236, 222), (224, 236, 244), (232, 238, 222))[tint])


PLACES = {
    "park": _park, "beach": _beach, "room": _room, "city": _city, "mountains": _mountains, "desert": _desert, PLAIN: _plain,
}
