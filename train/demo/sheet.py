"""Draws judged results as one picture: prompt, references, truth and result of each."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from train.demo.draw import draw
from train.demo.evaluate import Result

SIDE, GAP, TEXT = 128, 4, 30
PASSED, FAILED = (30, 140, 70), (190, 40, 40)


def wrap(text: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text in lines that fit."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines[:2])


def result_sheet(results: list[Result], columns: int = 2) -> np.ndarray:
    """Four places for references, then the truth, then the result in a frame: green passed, red did not."""
    width, height = 6 * (SIDE + GAP) + 3 * GAP, SIDE + TEXT + 3 * GAP
    rows = -(-len(results) // columns)
    page = Image.new("RGB", (columns * width + GAP, rows * height + GAP), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(12)
    for number, result in enumerate(results):
        left, top = GAP + number // rows * width, GAP + number % rows * height
        color = PASSED if result.verdict.ok else FAILED
        pen.multiline_text((left, top), wrap(result.edit.prompt, pen, font, width - 4 * GAP), color, font, spacing=1)
        top += TEXT
        for place, scene in enumerate(result.edit.references):
            page.paste(Image.fromarray(draw(scene)), (left + place * (SIDE + GAP), top))
        x = left + 4 * (SIDE + GAP) + GAP
        page.paste(Image.fromarray(draw(result.edit.target)), (x, top))
        x += SIDE + GAP
        pen.rectangle((x - 2, top - 2, x + SIDE + 1, top + SIDE + 1), color)
        page.paste(Image.fromarray(result.picture), (x, top))
    return np.asarray(page)
