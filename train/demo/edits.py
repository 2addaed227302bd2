"""The edit grammar: what is asked, of which references, and the picture that answers it.

    python -m train.demo.edits sheet OUT.png [--kinds mood,style] [--held-out]    # a sheet to look at

`KINDS` lists the kinds of edit; `make` invents one. Unless an edit is open on purpose its answer is unique, by these
conventions: a background named by a prompt has its features at scenes.NAMED_U and tint 0; mood and style stay those of the
picture that gives the background, unless the prompt changes them; figures from two references stand in the order of the
references, before the background of the first unless another is asked for; a figure alone keeps its place; a held object is
in the hand at the right of the picture, in a pair in the outer hand; a text without references makes a figure in the middle
with DEFAULT_SKIN, and hair or fur as the first of its list unless named. An open edit ("Put a red ball on the ground") has
`alternatives`: other pictures that answer it as well. So has one that uncovers what no reference shows: a man's hair under
his hat.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .scenes import Scene, is_clear, is_held_out
from .words import noisy

MAX_REFERENCES = 4


@dataclass(frozen=True)
class Edit:
    """A prompt with its references, and the scene that answers it."""

    kind: str
    prompt: str
    references: tuple[Scene, ...]
    target: Scene
    alternatives: tuple[Scene, ...] = ()  # other right answers
    rank: int = 0  # how many of those come before the target, in the order of the kind

    @property
    def outcomes(self) -> tuple[Scene, ...]:
        """Every right answer."""
        return (self.target, *self.alternatives)


@dataclass(frozen=True)
class Kind:
    """A kind of edit: its name, its number of references and how often training takes it."""

    name: str
    references: int
    weight: float


Draft = tuple[str, list[Scene], list[Scene]]  # prompt, references, right answers (the first is the target)
Maker = Callable[..., Draft | None]  # of a generator; None: what was drawn does not suit, draw again

_MAKERS: dict[str, Maker] = {}
KINDS: list[Kind] = []


def kind(references: int, weight: float) -> Callable[[Maker], Maker]:
    """Registers a maker under its function's name."""

    def register(maker: Maker) -> Maker:
        _MAKERS[maker.__name__] = maker
        KINDS.append(Kind(maker.__name__, references, weight))
        return maker

    return register


def attempt(name: str, rng: np.random.Generator, held_out: bool, scene: Scene | None = None) -> Edit | None:
    """One try at an edit of a kind, of `scene` if given (for kinds whose maker takes one); None: it does not suit."""
    draft = _MAKERS[name](rng) if scene is None else _MAKERS[name](rng, scene)
    if draft is None:
        return None
    prompt, references, answers = draft
    # Training takes other right answers as targets as well, so those of its edits must not be held out either.
    answers = [answer for answer in answers if is_clear(answer) and (held_out or not is_held_out(answer))]
    if not answers or not all(is_clear(reference) for reference in references):
        return None
    fitting = [k for k, answer in enumerate(answers) if is_held_out(answer) == held_out]
    if not fitting:
        return None
    rank = fitting[int(rng.integers(len(fitting)))]
    target = answers.pop(rank)
    return Edit(name, noisy(rng, prompt), tuple(references), target, tuple(answers), rank)


def make(name: str, rng: np.random.Generator, held_out: bool = False) -> Edit:
    """An edit of a kind. `held_out`: its target is of the combinations that training never sees, else no right answer is."""
    edit = None
    while edit is None:
        edit = attempt(name, rng, held_out)
    return edit


def kind_weights(file: Path | None) -> dict[str, float]:
    """Every kind's weight, or the one that a JSON file gives it."""
    weights = {kind.name: kind.weight for kind in KINDS}
    return weights | json.loads(file.read_text()) if file else weights


def sheet(kinds: list[str], columns: int, seed: int, held_out: bool) -> np.ndarray:
    """A picture of one edit of each kind: prompt, references, then the answer in a frame."""
    from PIL import Image, ImageDraw, ImageFont

    from .draw import draw
    from .pen import SIZE

    gap, text = 8, 30
    cell = (5 * (SIZE + gap) + 3 * gap, SIZE + text + gap)
    rows = -(-len(kinds) // columns)
    page = Image.new("RGB", (columns * cell[0] + gap, rows * cell[1] + gap), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for k, name in enumerate(kinds):
        edit = make(name, np.random.default_rng((seed, k)), held_out)
        x, y = gap + k // rows * cell[0], gap + k % rows * cell[1]
        pen.text((x, y), f"{name}{f' ({len(edit.outcomes)} answers)' if edit.alternatives else ''}", (140, 140, 150), font)
        pen.text((x, y + 13), edit.prompt if len(edit.prompt) < 100 else edit.prompt[:98] + "...", (30, 30, 40), font)
        for scene in edit.references:
            page.paste(Image.fromarray(draw(scene)), (x, y + text))
            x += SIZE + gap
        x += gap
        pen.rectangle((x - 3, y + text - 3, x + SIZE + 2, y + text + SIZE + 2), (40, 160, 90))
        page.paste(Image.fromarray(draw(edit.target)), (x, y + text))
    return np.asarray(page)


def main() -> None:
    """The command line."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["sheet"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--kinds", help="comma-separated; all without it")
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    kinds = args.kinds.split(",") if args.kinds else [k.name for k in KINDS]
    Image.fromarray(sheet(kinds, args.columns, args.seed, args.held_out)).save(args.out)


from . import edits_several, edits_single  # noqa: E402, F401 - they register their kinds

if __name__ == "__main__":
    from train.demo import edits  # the instance that the kinds have registered with

    edits.main()
