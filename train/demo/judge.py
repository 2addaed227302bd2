"""Decides from a picture alone whether an edit succeeded.

The truth is known because scenes are data: the right picture and the map of its parts are drawn, and the picture is held
against them by five rules; all must hold. An open edit has several right pictures: the nearest few are tried.

  part      in every part (background, and of every figure skin, hair, shirt, trousers, hat, object; the object on the ground)
            the mean colour is right and most pixels are near: identity, colours, presence
  mouth     the mouth is nearer to the asked expression than to the other one
  edit      where the truth differs from the first reference, most pixels are right: what had to go is gone
  blob      nowhere is there a larger connected wrong spot: nothing invented, nothing lost
  sharp     outlines are about as steep as in the truth: not a blur

Errors are largest channel differences, 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .draw import BACKGROUND, FIRST, GROUND, ITEM, PART_NAMES, SECOND, draw, labels
from .edits import Edit
from .scenes import Scene

MEAN_LIMIT = 28  # difference of a part's mean colour: half the distance of the nearest two named colours
PIXEL_LIMIT = 48  # error of a pixel that still counts as right: edges may be a little off, colours not
PART_SHARE = 0.75  # right pixels in a part; parts are small and have outlines
BACKGROUND_SHARE = 0.95  # in the background, which is large and simple
EDIT_SHARE = 0.80  # where something had to change
CHANGE_LIMIT = 24  # difference that counts as a change between reference and truth
MOUTH_RATIO = 0.6  # error to the asked expression over the error to the other one
BLOB_PIXELS = 60  # largest wrong spot; the smallest object has ten times as many
SHARPNESS = 0.6  # slope at the truth's outlines over the truth's slope
SLOPE = 60  # difference of neighbours that counts as an outline
LEAST_PIXELS = 12  # of an eroded region, to be judged at all
KEPT_LIMIT = 4  # difference between reference and truth of pixels that count as preserved
KEPT_LEAST = 800  # preserved pixels needed for a PSNR
DRAWING_CONTRAST = 0.6  # colours of a drawing are nearer to each other, and so are the limits
NIGHT_CONTRAST = 0.7  # and so they are at night
NEAREST = 4  # outcomes of an open edit that are tried


@dataclass(frozen=True)
class Verdict:
    """What the judge found. `rules` maps every rule and part to whether it holds."""

    ok: bool
    edit_ok: bool  # the parts that had to change are right, whatever else happened
    rules: dict[str, bool] = field(default_factory=dict)
    preserved_psnr: float | None = None  # where reference 1 and truth agree; None: nearly nowhere
    psnr: float = 0.0  # of the whole picture

    @property
    def failed(self) -> list[str]:
        """Names of the rules that do not hold."""
        return [name for name, holds in self.rules.items() if not holds]


def _eroded(mask: np.ndarray) -> np.ndarray:
    """Pixels whose 3x3 surroundings are all set; outside the picture counts as set."""
    p = np.pad(mask, 1, constant_values=True)
    rows = p[:-2] & p[1:-1] & p[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _dilated(mask: np.ndarray) -> np.ndarray:
    p = np.pad(mask, 1)
    rows = p[:-2] | p[1:-1] | p[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _largest_spot(mask: np.ndarray) -> int:
    """Pixels of the largest connected spot (4 neighbours)."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    largest = 0
    while left:
        edge, size = [left.pop()], 0
        while edge:
            y, x = edge.pop()
            size += 1
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    edge.append(near)
        largest = max(largest, size)
    return largest


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] twice -> largest channel difference [H, W]."""
    return np.abs(a.astype(np.int16) - b).max(axis=2)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of uint8 arrays of one shape, in dB; at most 99."""
    squared = np.square(a.astype(np.float64) - b).mean()
    return 99.0 if squared == 0 else min(99.0, float(10 * np.log10(255 * 255 / squared)))


def nearest_first(picture: np.ndarray, truths: list[np.ndarray]) -> list[int]:
    """Numbers of the truths, the one with the least squared error first."""
    return np.argsort([np.square(picture.astype(np.float32) - truth).mean() for truth in truths]).tolist()


def _part_name(part: int) -> str:
    special = {BACKGROUND: "background", GROUND: "ground object", ITEM: "item"}
    if part in special:
        return special[part]
    first = part < SECOND
    return PART_NAMES[part - (FIRST if first else SECOND)] + ("" if first else " 2")


def _slope_ratio(picture: np.ndarray, truth: np.ndarray) -> float:
    """Mean slope of the picture over that of the truth at the truth's outlines, along the truth's direction."""
    a, b = picture.astype(np.float32).mean(axis=2), truth.astype(np.float32).mean(axis=2)
    along, whole = 0.0, 0.0
    for axis in (0, 1):
        # over two pixels, so that an outline shifted by a fraction of a pixel still counts
        da, db = (m[2:] - m[:-2] if axis == 0 else m[:, 2:] - m[:, :-2] for m in (a, b))
        edge = np.abs(db) > SLOPE
        along += float((da * np.sign(db))[edge].sum())
        whole += float(np.abs(db)[edge].sum())
    return along / whole if whole else 1.0


def _mouths(picture: np.ndarray, truth: np.ndarray, scene: Scene, limit: float) -> dict[str, bool]:
    rules = {}
    for k, who in enumerate(scene.characters):
        if who.drinking:
            continue
        people = list(scene.characters)
        people[k] = replace(who, smile=not who.smile)
        other = draw(replace(scene, characters=tuple(people)))
        place = difference(truth, other) > limit
        if place.sum() >= LEAST_PIXELS:
            right, wrong = difference(picture, truth)[place].mean(), difference(picture, other)[place].mean()
            rules["mouth" + (" 2" if k else "")] = bool(right < MOUTH_RATIO * wrong)
    return rules


def _against(picture: np.ndarray, scene: Scene, truth: np.ndarray, reference: np.ndarray | None) -> Verdict:
    contrast = (DRAWING_CONTRAST if scene.style == "drawing" else 1.0) * (NIGHT_CONTRAST if scene.mood == "night" else 1.0)
    error = difference(picture, truth)
    near = error <= PIXEL_LIMIT * contrast
    changed = None if reference is None else difference(reference, truth) > CHANGE_LIMIT * contrast
    rules: dict[str, bool] = {}
    must_change: list[str] = []
    parts = labels(scene)
    for part in np.unique(parts).tolist():
        inner = _eroded(parts == part)
        if inner.sum() < LEAST_PIXELS:
            continue
        off = np.abs(picture[inner].mean(axis=0) - truth[inner].mean(axis=0)).max()
        share = near[inner].mean()
        name = _part_name(part)
        rules[name] = bool(off <= MEAN_LIMIT * contrast and share >= (PART_SHARE if part else BACKGROUND_SHARE))
        if changed is None or changed[inner].mean() > 0.3:
            must_change.append(name)
    rules |= _mouths(picture, truth, scene, CHANGE_LIMIT * contrast)
    if changed is not None:
        inner = _eroded(changed)
        if inner.sum() >= LEAST_PIXELS:
            rules["edit"] = bool(near[inner].mean() >= EDIT_SHARE)
            must_change.append("edit")
        else:  # a change too small for a region, a smile: the mouth rule is the edit's
            must_change += [name for name in rules if name.startswith("mouth")]
    rules["blob"] = _largest_spot(_dilated(_eroded(~near))) <= BLOB_PIXELS
    rules["sharp"] = _slope_ratio(picture, truth) >= SHARPNESS
    kept = None if reference is None else difference(reference, truth) <= KEPT_LIMIT
    return Verdict(
        ok=all(rules.values()),
        edit_ok=all(rules[name] for name in must_change),
        rules=rules,
        preserved_psnr=psnr(picture[kept], truth[kept]) if kept is not None and kept.sum() >= KEPT_LEAST else None,
        psnr=psnr(picture, truth),
    )


def judge(picture: np.ndarray, edit: Edit) -> Verdict:
    """Holds a picture, uint8 [128, 128, 3], against the right answers of an edit."""
    truths = [draw(scene) for scene in edit.outcomes]
    reference = draw(edit.references[0]) if edit.references else None
    verdicts = []
    for k in nearest_first(picture, truths)[:NEAREST]:
        verdict = _against(picture, edit.outcomes[k], truths[k], reference)
        if verdict.ok:
            return verdict
        verdicts.append(verdict)
    return min(verdicts, key=lambda verdict: len(verdict.failed))
