"""Canvas, colours and shapes: what every part of a picture is drawn with."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import skia

from .scenes import RGB, Scene

SIZE = 128

_INK: RGB = (50, 40, 62)
_PENCIL: RGB = (104, 98, 104)
PAPER: RGB = (250, 246, 236)
WASH = 0.5  # share of paper in the colours of a drawing
_LIGHT: dict[str, tuple[float, float, float]] = {  # what mood makes of the colours of things
    "day": (1.0, 1.0, 1.0),
    "night": (0.62, 0.64, 0.88),
    "golden": (1.0, 0.86, 0.62),
}
_FAR_LIGHT = dict(_LIGHT, night=(0.36, 0.42, 0.72))  # and of backgrounds
SKY: dict[str, tuple[RGB, RGB]] = {  # top and horizon
    "day": ((134, 200, 250), (214, 238, 252)),
    "night": ((40, 46, 112), (92, 92, 166)),
    "golden": ((246, 146, 92), (255, 222, 150)),
}
DISC: dict[str, RGB] = {"day": (255, 220, 84), "night": (246, 242, 220), "golden": (255, 244, 196)}


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """The colour at a share of the way from a to b."""
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


def poly(*points: tuple[float, float]) -> skia.Path:
    """A closed polygon."""
    return skia.Path.Polygon([skia.Point(*p) for p in points], True)


def oval(x: float, y: float, rx: float, ry: float) -> skia.Path:
    """An ellipse about (x, y)."""
    return skia.Path.Oval(skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry))


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> skia.Path:
    """A rectangle, its corners rounded."""
    return skia.Path.RRect(skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(left, top, right, bottom), radius, radius))


@lru_cache(maxsize=4096)
def curve(text: str) -> skia.Path:
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
        self.part = 0
        self.line = 1.5 if self.drawing else 1.8

    def shade(self, color: RGB, far: bool) -> RGB:
        """A colour of the world as it looks in this scene."""
        if self.label_mode:
            return (self.part,) * 3
        if self.drawing:
            color = mix(color, PAPER, WASH)
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
            color = mix(color, PAPER, WASH) if self.drawing else color
        else:
            color = self.shade(color, True)
        self.canvas.drawPath(path, _paint(color, smooth, 0.0))
        if self.drawing:
            self.canvas.drawPath(path, _paint(self.ink(), smooth, 1.2))

    def stroke(self, path: skia.Path, color: RGB, width: float) -> None:
        """A thick line of a thing, with its outline."""
        smooth = not self.label_mode
        self.canvas.drawPath(path, _paint(self.ink(), smooth, width + 2 * self.line - 0.6))
        self.canvas.drawPath(path, _paint(self.shade(color, False), smooth, width))

    def dash(self, path: skia.Path, width: float) -> None:
        """A line in the colour of outlines."""
        self.canvas.drawPath(path, _paint(self.ink(), not self.label_mode, width))
