"""What the comparisons share: waiting for an idle machine, medians, a table."""
from __future__ import annotations

import json
import statistics
import time
from pathlib import Path


def busy_share(seconds: float = 1.0) -> float:
    """Share of all processors that somebody uses, seen over some time in which the caller does nothing."""

    def counters() -> tuple[int, int]:
        values = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(values), values[3] + values[4]

    total, idle = counters()
    time.sleep(seconds)
    total_after, idle_after = counters()
    return 1.0 - (idle_after - idle) / max(1, total_after - total)


def wait_for_idle(most: float = 0.08, seconds_most: float = 3600) -> None:
    """Returns when others use less than `most` of the machine; ends the program when that never comes."""
    deadline, told = time.monotonic() + seconds_most, False
    while (busy := busy_share()) > most:
        if not told:
            print(f"waiting: other processes use {100 * busy:.0f} % of the machine (--now measures anyway)", flush=True)
            told = True
        if time.monotonic() > deadline:
            raise SystemExit("the machine did not become idle")
        time.sleep(1)


def seconds_of(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(times: dict[str, list[float]], base: str, notes: dict[str, str] | None = None) -> str:
    """One line for each engine: median, all times, and the ratio of the base's median to its own (above 1: faster)."""
    of_base = statistics.median(times[base]) if times.get(base) else None
    lines = [f"{'engine':26} {'median s':>9} {'x ' + base if of_base else '':>16}  times"]
    for name, values in times.items():
        if not values:
            continue
        median = statistics.median(values)
        ratio = f"{of_base / median:.2f}" if of_base else ""
        lines.append(f"{name:26} {median:9.3f} {ratio:>16}  {' '.join(f'{v:.3f}' for v in values)}  {(notes or {}).get(name, '')}")
    return "\n".join(lines)


def save(path: Path, what: dict) -> None:
    path.write_text(json.dumps(what, indent=1) + "\n")
