#!/usr/bin/env python3
"""Prints the program in the opening comment of a header. usage: extract_example.py HEADER

It is what is indented by five spaces (after " *"), from the first #include to the closing brace.
"""
import re
import sys

comment = re.match(r"/\*(.*?)\*/", open(sys.argv[1], encoding="utf-8").read(), re.S)
if comment is None:
    sys.exit(f"{sys.argv[1]} does not begin with a comment")
lines = [line[len(" *     "):] for line in comment[1].splitlines() if re.match(r" \*(     |$)", line)]
start = next((i for i, line in enumerate(lines) if line.startswith("#include")), None)
end = next((i for i, line in enumerate(lines) if line == "}"), None)
if start is None or end is None or end < start:
    sys.exit(f"{sys.argv[1]}: the opening comment holds no program from #include to a closing brace")
print("\n".join(lines[start:end + 1]))
