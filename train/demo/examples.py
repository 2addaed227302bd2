"""Makes the examples of the playground: edits that the program solves, their references and results.

    python -m train.demo.examples build/kontext models/demo web/examples

Held-out edits of the kinds below are tried in turn until the judge passes the program's picture. Writes `examples.json` and the
pictures; the new files must be listed in web/meson.build.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from train.demo import edits
from train.demo.draw import draw
from train.demo.evaluate import drawn_references, result, run_program

KINDS = (
    "text_to_picture",
    "recolour_garment",
    "put_on_hat",
    "named_background",
    "mood",
    "drink_juice",
    "together",
    "hat_of_2",
    "two_and_background",
    "four_roles",
)
SEED = 1
TRIES = 40


def find_example(program: Path, model: Path, number: int, kind: str) -> tuple[edits.Edit, np.ndarray] | None:
    """The first edit of a kind, spelt without noise, whose result passes the judge."""
    for attempt in range(TRIES):
        edit = edits.make(kind, np.random.default_rng((2000, number, attempt)), held_out=True)
        if not edit.prompt[0].isupper() or not edit.prompt.endswith("."):
            continue
        picture, seconds = run_program(program, model, edit.prompt, drawn_references(edit), SEED)
        if result(edit, picture, seconds).verdict.ok:
            return edit, picture
    return None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    entries = []
    for number, kind in enumerate(KINDS, 1):
        found = find_example(args.program, args.model, number, kind)
        if found is None:
            print(f"{kind}: nothing passed")
            continue
        edit, picture = found
        stem = kind.replace("_", "-")
        images = [f"{stem}-{i}.png" for i in range(1, len(edit.references) + 1)]
        for name, scene in zip(images, edit.references, strict=True):
            Image.fromarray(draw(scene)).save(args.folder / name, optimize=True)
        Image.fromarray(picture).save(args.folder / f"{stem}-result.png", optimize=True)
        inputs = {"seed": SEED, "output_format": "png"}
        entries.append({"prompt": edit.prompt, "images": images, "result": f"{stem}-result.png", "inputs": inputs})
    (args.folder / "examples.json").write_text(json.dumps(entries, indent=2) + "\n")
    print("\n".join(f"'examples/{path.name}'," for path in sorted(args.folder.glob("*.png"))))


if __name__ == "__main__":
    main()
