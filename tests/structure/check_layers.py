#!/usr/bin/env python3
"""Checks the tree against the rules that are written down. Prints TAP.

- every #include "..." or <kontext/...> stays within the row of its folder in docs/architecture.md;
- every layer has a README.md;
- file names are unique over the tree;
- no banned function is called;
- links of the documents lead to a file and, behind #, to a heading of it.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
BANNED = r"\b(gets|strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|alloca|system|popen|tmpnam|mktemp)\s*\("
# Input never ends the process: the engine returns a status instead.
BANNED_IN_ENGINE = r"\b(exit|abort|_exit)\s*\("

results = []


def check(name, problems):
    results.append((name, problems))


def layers():
    table = {}
    for line in (root / "docs/architecture.md").read_text().splitlines():
        match = re.match(r"\| `((?:src|include)/[\w/]+)` \|[^|]*\|([^|]*)\|", line)
        if match:
            table[match[1]] = [word.strip() for word in match[2].split(",") if word.strip()]
    return table


def layer_of(path, table):
    name = path.relative_to(root).as_posix()
    fitting = [folder for folder in table if name.startswith(folder + "/")]
    return max(fitting, key=len, default=None)


table = layers()
sources = sorted(p for folder in ("src", "include") for p in (root / folder).rglob("*.[ch]"))
include_problems, banned_problems = [], []
for path in sources:
    own = layer_of(path, table)
    text = path.read_text()
    where = path.relative_to(root)
    if own is None:
        include_problems.append(f"{where}: the folder is not in the table of docs/architecture.md")
        continue
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<(kontext/[^>]+)>)', line)
        if match:
            target = root / "src" / match[1] if match[1] else root / "include" / match[2]
            other = layer_of(target, table)
            if match[1] and not target.exists() and not (path.parent / match[1]).exists():
                include_problems.append(f"{where}:{number}: {match[1]} does not exist under src/")
            elif other is not None and other != own and other not in table[own]:
                include_problems.append(f"{where}:{number}: {own} may not include {other}")
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line.split("//")[0])
        if not code.lstrip().startswith(("*", "/*")):
            if re.search(BANNED, code) or ("engine" in str(where) and re.search(BANNED_IN_ENGINE, code)):
                banned_problems.append(f"{where}:{number}: {code.strip()}")

names = {}
for path in sources:
    if path.name != "README.md":
        names.setdefault(path.name, []).append(str(path.relative_to(root)))



def prose(path):
    """The text without code blocks, whose brackets are no links and whose # are no headings."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.S | re.M)


def anchors(path):
    """As GitHub makes them: lower case, blanks as hyphens, no other signs, a number behind what stands again."""
    found, counts = [], {}
    for heading in re.findall(r"^#+ +(.*)$", prose(path), flags=re.M):
        plain = re.sub(r"[^\w -]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).strip().replace(" ", "-")
        number = counts.get(plain, 0)
        counts[plain] = number + 1
        found.append(f"{plain}-{number}" if number > 0 else plain)
    return found


documents = [p for folder in ("docs", "src", "tests", "bench", "tools", "web", "train", "packaging", "models")
             for p in (root / folder).rglob("*.md")] + list(root.glob("*.md"))
link_problems = []
for path in documents:
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", prose(path)):
        file = path.parent / target if target else path
        if not file.exists():
            link_problems.append(f"{path.relative_to(root)}: there is no {target}")
        elif anchor and anchor not in anchors(file):
            link_problems.append(f"{path.relative_to(root)}: {target} has no heading #{anchor}")

check("the table of layers was read", [] if len(table) >= 10 else [f"only {len(table)} rows were found"])
check("includes follow the layers", include_problems)
check("every layer has a README.md",
      [f"{folder}/README.md is missing" for folder in table
       if folder.startswith("src/") and not (root / folder / "README.md").exists()])
check("file names are unique", [f"{name}: {', '.join(where)}" for name, where in names.items() if len(where) > 1])
check("no banned function is called", banned_problems)
check("links of the documents lead somewhere", link_problems if len(documents) > 30 else ["the documents were not found"])

print(f"1..{len(results)}")
for number, (name, problems) in enumerate(results, 1):
    print(f"{'not ok' if problems else 'ok'} {number} - {name}")
    for problem in problems:
        print(f"# {problem}")
sys.exit(any(problems for _, problems in results))
