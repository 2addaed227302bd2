#!/usr/bin/env python3
"""Checks what the shared library shows to the world. Prints TAP. usage: check_symbols.py NM LIBRARY HEADER [LAX]

- every function that the header declares KX_API is there;
- nothing else is, but for what a sanitizer adds (LAX: names that begin with two underscores).
"""
import re
import subprocess
import sys

nm, library, header = sys.argv[1:4]
lax = len(sys.argv) > 4
declared = set(re.findall(r"^KX_API [^;{]*?\b(\w+)\s*\(", open(header, encoding="utf-8").read(), re.M))
listing = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
# "0000000000001234 T name", perhaps with "@@VERSION" behind
exported = {line.split()[-1].split("@")[0] for line in listing.splitlines() if line.split()}
if lax:
    exported = {name for name in exported if not name.startswith("__") and ".asan" not in name}

results = [
    ("the header declares functions", [] if len(declared) >= 20 else [f"only {len(declared)} were found"]),
    ("every declared function is exported", sorted(declared - exported)),
    ("every exported symbol starts with kx_", sorted(name for name in exported if not name.startswith("kx_"))),
    ("every exported symbol is declared in the header", sorted(exported - declared)),
]
print(f"1..{len(results)}")
for number, (name, problems) in enumerate(results, 1):
    print(f"{'not ok' if problems else 'ok'} {number} - {name}")
    for problem in problems:
        print(f"# {problem}")
sys.exit(any(problems for _, problems in results))
