"""Draws the sample pictures of `./dev demo`.

    python -m train.demo.samples models/demo-samples
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from train.demo.draw import draw
from train.demo.scenes import PLAIN, Character, Scene, Thing

SAMPLES = {
    "man.png": Scene("park", u=0.85, tint=1, characters=(Character("man", "blue", "brown", skin=1),), x=60),
    "cat.png": Scene("room", u=0.1, tint=0, characters=(Character("cat", "yellow", "orange", smile=True),), x=64),
    "juice.png": Scene(PLAIN, tint=1, item=Thing("juice", "red")),
    "mountains.png": Scene("mountains", u=0.15, tint=0),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SAMPLES.items():
        Image.fromarray(draw(scene)).save(folder / name, optimize=True)


if __name__ == "__main__":
    main()
