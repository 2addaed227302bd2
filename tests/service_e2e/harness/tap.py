"""A small test runner that prints TAP. A test file makes a Suite, adds cases to it and ends with suite.main().

Every case gets what the suite's `fixture` (a context manager, opened once for the file) gives, has a deadline, and
fails with a reason when it raises. A case's name is a sentence about what holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from typing import Any, Callable, ContextManager, Iterable, TypeVar

Case = Callable[..., None]
T = TypeVar("T")


class Skip(Exception):
    """This case cannot run here; the text says why."""


class Late(BaseException):
    """The case ran over its deadline. No Exception, so that a case's own `except` does not hide it."""


def fail(message: str) -> None:
    raise AssertionError(message)


def expect(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def equal(found: object, wanted: object, what: str) -> None:
    if found != wanted or (type(found) is bool) != (type(wanted) is bool):
        raise AssertionError(f"{what}: found {found!r:.600}, expected {wanted!r:.600}")


def until(condition: Callable[[], T], what: str, seconds: float = 20.0, every: float = 0.02) -> T:
    """The first true value of `condition`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not after {seconds:g} s: {what}")
        time.sleep(every)


@contextlib.contextmanager
def nothing() -> Iterable[None]:
    yield None


class Suite:
    def __init__(self, name: str, fixture: Callable[[], ContextManager[Any]] = nothing, seconds: float = 60.0):
        self.name = name
        self.fixture = fixture
        self.seconds = seconds
        self.cases: list[tuple[str, Case, float]] = []

    def case(self, name: str, seconds: float | None = None) -> Callable[[Case], Case]:
        def add(function: Case) -> Case:
            self.add(name, function, seconds)
            return function

        return add

    def add(self, name: str, function: Case, seconds: float | None = None) -> None:
        if any(name == known for known, _, _ in self.cases):
            raise ValueError(f"two cases are named {name!r}")
        self.cases.append((name, function, seconds or self.seconds))

    def main(self) -> None:
        only = os.environ.get("ONLY", "")
        cases = [case for case in self.cases if only in case[0]]
        failures = 0
        print(f"1..{len(cases)}", flush=True)
        try:
            with self.fixture() as shared:
                for number, (name, function, seconds) in enumerate(cases, 1):
                    failures += not run_case(number, name, function, seconds, shared)
        except BaseException:  # the fixture itself: nothing more can be said about the cases
            remark(traceback.format_exc())
            print(f"not ok {len(cases) + 1} - the server of this file starts and stops cleanly", flush=True)
            failures += 1
        sys.exit(1 if failures else 0)


def remark(text: str) -> None:
    for line in text.rstrip().splitlines():
        print(f"# {line}", flush=True)


def run_case(number: int, name: str, function: Case, seconds: float, shared: Any) -> bool:
    def late(_signal: int, _frame: object) -> None:
        raise Late(f"over its deadline of {seconds:g} s")

    name = name.replace("#", "No. ")
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    start = time.monotonic()
    try:
        function(shared) if shared is not None else function()
    except Skip as why:
        print(f"ok {number} - {name} # SKIP {why}", flush=True)
        return True
    except (Exception, Late) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(f"not ok {number} - {name}", flush=True)
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(frames[-6:]))
        remark(f"{type(error).__name__}: {error}"[:3000])
        remark(f"at {where}")
        tail = getattr(shared, "log_tail", None)
        if tail:
            remark(tail())
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.monotonic() - start
    print(f"ok {number} - {name}", flush=True)
    if took > 5:
        remark(f"took {took:.1f} s")
    return True
