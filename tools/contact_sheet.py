#!/usr/bin/python3
"""Draws edits as one picture: for each the references, the prompt and the result.

usage: contact_sheet.py OUT.png RESULT.png PROMPT [REFERENCE.png ...] [-- RESULT.png PROMPT [REFERENCE.png ...]] ...

Needs Debian's python3-pil and fonts-dejavu-core.
"""

import sys
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans{}.ttf"
SIDE, RESULT_SIDE, GAP, MARGIN, RADIUS = 176, 264, 20, 36, 14
TEXT_HEIGHT = 50
PAPER, CARD, INK, PALE, ACCENT = (242, 240, 235), (255, 255, 255), (38, 38, 46), (140, 138, 150), (222, 92, 56)


def rounded(picture, side, radius=RADIUS):
    """The picture at a size, its mask with round corners."""
    picture = picture.convert("RGB").resize((side, side), Image.LANCZOS)
    mask = Image.new("L", (side * 4, side * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side * 4 - 1, side * 4 - 1), radius * 4, fill=255)
    return picture, mask.resize((side, side), Image.LANCZOS)


def wrap(text, font, width, lines=2):
    """The text in lines that fit; what is too long ends in dots."""
    out = [""]
    for word in text.split():
        longer = (out[-1] + " " + word).strip()
        if font.getlength(longer) <= width or not out[-1]:
            out[-1] = longer
        else:
            out.append(word)
    if len(out) > lines:
        out = out[:lines]
        out[-1] += " ..."
    return "\n".join(out)


def card_width(references):
    """Width of the card of an edit with so many references."""
    columns = (references + 1) // 2 if references > 2 else references
    return 2 * GAP + columns * (SIDE + GAP) + (64 if references else 0) + RESULT_SIDE


def paste(page, path, side, left, top):
    """Puts a picture with round corners onto the page."""
    picture, mask = rounded(Image.open(path), side)
    page.paste(picture, (left, top), mask)


def draw_arrow(pen, left, middle):
    """An arrow of 36 pixels."""
    pen.line((left, middle, left + 30, middle), fill=ACCENT, width=5)
    pen.polygon(((left + 26, middle - 11), (left + 26, middle + 11), (left + 42, middle)), fill=ACCENT)


def draw_card(page, pen, left, top, width, edit):
    """One edit."""
    result, prompt, references = edit[0], edit[1], edit[2:]
    height = card_height(len(references))
    pen.rounded_rectangle((left, top, left + width, top + height), RADIUS + 6, fill=CARD)
    label, words = ImageFont.truetype(FONT.format("-Bold"), 13), ImageFont.truetype(FONT.format(""), 17)
    text = wrap("\u201c" + prompt + "\u201d", words, width - 2 * GAP)
    pen.multiline_text((left + GAP, top + GAP - 6), text, fill=INK, font=words, spacing=5)
    body = top + GAP + TEXT_HEIGHT
    area = height - GAP - TEXT_HEIGHT - GAP
    x, rows = left + GAP, 2 if len(references) > 2 else 1
    columns = -(-len(references) // rows)
    block = rows * SIDE + (rows - 1) * GAP
    for number, path in enumerate(references):
        row, column = divmod(number, columns)
        x = left + GAP + column * (SIDE + GAP)
        y = body + (area - block) // 2 + row * (SIDE + GAP)
        paste(page, path, SIDE, x, y)
        pen.ellipse((x + 8, y + 8, x + 32, y + 32), fill=ACCENT)
        pen.text((x + 20, y + 20), str(number + 1), fill=CARD, font=label, anchor="mm")
    if references:
        x = left + GAP + columns * (SIDE + GAP)
        draw_arrow(pen, x, body + area // 2)
        x += 64
    paste(page, result, RESULT_SIDE, x, body + (area - RESULT_SIDE) // 2)


def card_height(references):
    """Height of the card of an edit."""
    return 2 * GAP + TEXT_HEIGHT + max(RESULT_SIDE, 2 * SIDE + GAP if references > 2 else 0)


def main():
    """Reads the arguments, draws, writes."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    edits = [list(part) for dashes, part in groupby(sys.argv[2:], lambda word: word == "--") if not dashes]
    widths = [card_width(len(edit) - 2) for edit in edits]
    heights = [card_height(len(edit) - 2) for edit in edits]
    width = max(widths)
    page = Image.new("RGB", (width + 2 * MARGIN, sum(heights) + (len(edits) - 1) * GAP + 2 * MARGIN + 34), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 8), "kontext", fill=INK, font=ImageFont.truetype(FONT.format("-Bold"), 24))
    pen.text((MARGIN + 122, MARGIN - 1), "pictures edited by instruction", fill=PALE, font=ImageFont.truetype(FONT.format(""), 16))
    top = MARGIN + 34
    for edit, height in zip(edits, heights):
        draw_card(page, pen, MARGIN, top, width, edit)
        top += height + GAP
    page.save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
