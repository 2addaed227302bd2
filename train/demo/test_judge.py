"""Tests of the world, the grammar and the judge: `./dev eval test`. Prints TAP; status 1 if a test fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from .draw import draw, labels
from .edits import KINDS, Edit, make
from .judge import CHANGE_LIMIT, LEAST_PIXELS, difference, judge
from .scenes import ANIMALS, HAIR, OBJECTS, Scene, Thing, hair_shows, is_clear, is_held_out, pick, with_character

PER_KIND = 12


def edits(per_kind: int = PER_KIND, held_out: bool = True) -> list[Edit]:
    """Some edits of every kind."""
    return [make(kind.name, np.random.default_rng((k, n)), held_out) for k, kind in enumerate(KINDS) for n in range(per_kind)]


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _none_passes(cases: list[tuple[Edit, np.ndarray]]) -> None:
    assert cases, "no case"
    passed = [edit for edit, picture in cases if judge(picture, edit).ok]
    assert not passed, f"{len(passed)} of {len(cases)} pass: " + "; ".join(f"{e.kind}: {e.prompt}" for e in passed[:5])


def drawing_is_deterministic() -> None:
    """A scene has one picture and one part map of the stated shapes."""
    for edit in edits(1):
        a, b = draw(edit.target), draw(edit.target)
        assert a.shape == (128, 128, 3) and a.dtype == np.uint8 and np.array_equal(a, b)
        assert labels(edit.target).shape == (128, 128)


def grammar_keeps_its_promises() -> None:
    """Number of references, the split by combination, clearness; the same generator gives the same edit."""
    for k, kind in enumerate(KINDS):
        for held_out in (False, True):
            edit = make(kind.name, np.random.default_rng(k), held_out)
            assert edit == make(kind.name, np.random.default_rng(k), held_out)
            assert len(edit.references) == kind.references, kind.name
            assert is_held_out(edit.target) == held_out, kind.name
            assert all(is_clear(scene) for scene in (*edit.references, *edit.outcomes)), kind.name


def training_meets_nothing_held_out() -> None:
    """No right answer of its edits is of the combinations kept apart: each of them can become a target."""
    made = edits(held_out=False)
    assert sum(len(edit.alternatives) for edit in made) > PER_KIND
    for edit in made:
        assert not any(map(is_held_out, edit.outcomes)), edit.kind


def rank_tells_the_order_of_the_kind() -> None:
    """With the target in its place the right answers stand as their maker listed them."""
    for seed in range(PER_KIND):
        edit = make("open_side", np.random.default_rng(seed), held_out=True)
        rest = [scene.ground_side for scene in edit.alternatives]
        sides = [*rest[: edit.rank], edit.target.ground_side, *rest[edit.rank :]]
        assert sides == sorted(sides) and len(set(sides)) == len(sides), (seed, sides)


def hidden_hair_is_not_asked_for() -> None:
    """A hat hides a man's hair, so any colour is right once it is off; what can be seen has one right answer."""
    hidden = 0
    for n in range(4 * PER_KIND):
        edit = edits_of_kind("take_off_hat", n)
        scene = edit.references[0]
        colors = {outcome.characters[0].hair for outcome in edit.outcomes}
        if hair_shows(scene.characters[0]):
            assert len(edit.outcomes) == 1, edit.prompt
            continue
        hidden += 1
        assert colors == set(HAIR), edit.prompt
        for color in colors:
            same = difference(draw(with_character(scene, hair=color)), draw(scene)) <= CHANGE_LIMIT
            assert (~same).sum() < LEAST_PIXELS, edit.prompt
    assert hidden, "no man with a hat"


def hair_comes_from_somewhere() -> None:
    """A man without a hat has hair that a reference shows or words name, or any colour is right."""
    for edit in edits(4 * PER_KIND):
        shown = {who.hair for scene in edit.references for who in scene.characters if hair_shows(who)}
        for who in edit.target.characters:
            if edit.references and who.kind == "man" and who.hat is None and who.hair not in shown:
                others = {people.hair for scene in edit.outcomes for people in scene.characters}
                assert who.hair in edit.prompt.lower() or others == set(HAIR), f"{edit.kind}: {edit.prompt}"


def truth_passes() -> None:
    """Every right answer passes, for every kind."""
    for edit in edits():
        for k, scene in enumerate(edit.outcomes[:9]):
            verdict = judge(draw(scene), edit)
            assert verdict.ok and verdict.edit_ok, f"{edit.kind}: {edit.prompt}: answer {k}: {verdict.failed}"


def slightly_noisy_truth_passes() -> None:
    """A result with errors nobody sees passes."""
    rng = np.random.default_rng(0)
    for edit in edits(4):
        picture = _blurred(draw(edit.target), 0.4).astype(np.int16) + rng.integers(-6, 7, (128, 128, 3))
        verdict = judge(picture.clip(0, 255).astype(np.uint8), edit)
        assert verdict.ok, f"{edit.kind}: {edit.prompt}: {verdict.failed}"


def unedited_input_fails() -> None:
    """The first reference is no answer."""
    _none_passes([(edit, draw(edit.references[0])) for edit in edits() if edit.references])


def other_references_fail() -> None:
    """Neither are the other references."""
    _none_passes([(edit, draw(scene)) for edit in edits() for scene in edit.references[1:]])


def wrong_reference_fails() -> None:
    """The thing, the figure or the place of another reference than the one shown is no answer."""
    cases = []
    for edit in edits():
        if len(edit.references) < 2 or not edit.target.characters:
            continue
        rng = np.random.default_rng(len(cases))
        who = edit.target.characters[-1]
        if who.hat and edit.kind in ("hat_of_2", "hat_and_background", "four_roles"):
            wrong = with_character(edit.target, hat=Thing(who.hat.kind, pick(rng, [c for c in ("red", "green") if c != who.hat.color])))
        elif who.held:
            index = len(edit.target.characters) - 1
            wrong = with_character(edit.target, index, held=replace(who.held, kind=pick(rng, [k for k in OBJECTS if k != who.held.kind])),
                                   drinking=False)
        else:
            other = edits_of_kind(edit.kind, len(cases))
            wrong = other.target
        cases.append((edit, draw(wrong)))
    _none_passes(cases)


def edits_of_kind(kind: str, seed: int) -> Edit:
    """Another edit of a kind."""
    return make(kind, np.random.default_rng((777, seed)), True)


def invented_object_fails() -> None:
    """The right answer with one more object on the ground is no answer."""
    cases = []
    for edit in edits():
        scene = edit.target
        if scene.ground is None and len(scene.characters) == 1:
            taken = scene.characters[0].held is not None
            scene = replace(scene, ground=Thing("ball" if scene.background != "plain" else "gift", "red"), ground_side=-1 if taken else 1)
            cases.append((edit, draw(scene)))
    _none_passes(cases)


def _half_left(edit: Edit, right: bool) -> np.ndarray:
    """The right answer, but on one half of what had to change the first reference is still there."""
    before, truth = draw(edit.references[0]), draw(edit.target)
    changed = difference(before, truth) > 0
    columns = np.flatnonzero(changed.any(axis=0))
    middle = columns[len(columns) // 2]
    changed[:, :middle] &= not right
    changed[:, middle:] &= right
    return np.where(changed[..., None], before, truth)


def left_over_fails() -> None:
    """A half of what was to be removed fails, and so does the old object beside the new one."""
    cases = []
    for edit in edits():
        if edit.kind in ("remove_object", "replace_object", "take_off_hat"):
            cases += [(edit, _half_left(edit, right)) for right in (False, True)]
        if edit.kind == "replace_object" and edit.references[0].characters[0].held and edit.target.ground is None:
            both = replace(edit.target, ground=edit.references[0].characters[0].held, ground_side=-1)
            cases.append((edit, draw(both)))
    _none_passes(cases)


def mottled_left_over_fails() -> None:
    """So does a pattern of small spots of the unedited picture, each too small for the rule of spots."""
    y, x = np.indices((128, 128))
    old = ((y // 5 + x // 5) % 2 == 0)[..., None]
    _none_passes(
        [(edit, np.where(old, draw(edit.references[0]), draw(edit.target))) for edit in edits() if len(edit.references) == 1]
    )


def _changes(scene: Scene) -> list[Scene]:
    """Scenes that differ in one thing a person would see."""
    who = scene.characters[0]
    changed = [
        with_character(scene, shirt="green" if who.shirt != "green" else "red"),
        with_character(scene, hat=None if who.hat else Thing("crown", "red")),
        with_character(scene, held=None if who.held else Thing("ball", "red"), drinking=False),
        replace(scene, background="city" if scene.background != "city" else "park"),
        replace(scene, mood="night" if scene.mood != "night" else "day"),
        replace(scene, style="drawing" if scene.style == "flat" else "flat"),
    ]
    if hair_shows(who):
        turned = {"brown": "grey" if who.kind in ANIMALS else "blonde"}
        changed.append(with_character(scene, hair=turned.get(who.hair, "brown")))
    if not who.drinking:
        changed.append(with_character(scene, smile=not who.smile))
    if len(scene.characters) == 2:
        changed += [replace(scene, hug=not scene.hug), replace(scene, characters=scene.characters[::-1])]
    return changed


def one_wrong_part_fails() -> None:
    """The right answer with any one part wrong is no answer."""
    cases = []
    for edit in edits(4):
        if edit.target.characters:
            wrong = [scene for scene in _changes(edit.target) if scene not in edit.outcomes]
            cases += [(edit, draw(scene)) for scene in wrong]
    _none_passes(cases)


def blurred_result_fails() -> None:
    """A blur is no answer."""
    _none_passes([(edit, _blurred(draw(edit.target), 1.8)) for edit in edits()])


def shifted_result_fails() -> None:
    """Neither is a picture that has slipped by a few pixels."""
    _none_passes([(edit, np.roll(draw(edit.target), 5, axis=1)) for edit in edits() if edit.target.characters])


TESTS: tuple[Callable[[], None], ...] = (
    drawing_is_deterministic, grammar_keeps_its_promises, training_meets_nothing_held_out, rank_tells_the_order_of_the_kind,
    hidden_hair_is_not_asked_for, hair_comes_from_somewhere,
    truth_passes, slightly_noisy_truth_passes, unedited_input_fails, other_references_fail, wrong_reference_fails, invented_object_fails, left_over_fails, mottled_left_over_fails,
    one_wrong_part_fails, blurred_result_fails, shifted_result_fails,
)


def main() -> int:
    """Runs every test."""
    failed = 0
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}")
        except AssertionError as error:
            failed += 1
            print(f"not ok {number} - {test.__name__}\n# {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
