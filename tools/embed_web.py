#!/usr/bin/env python3
"""Writes the page's files as a C table: embed_web.py FOLDER OUT.c

Each file stands there as it is and, where that is smaller, gzipped. Its tag is the hash of its bytes.
"""
import gzip
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp",
}


def c_bytes(name, data):
    rows = [", ".join(str(byte) for byte in data[at : at + 24]) for at in range(0, len(data), 24)]
    return f"static const unsigned char {name}[] = {{\n    " + ",\n    ".join(rows) + "};\n"


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    parts, rows = [], []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in TYPES):
        data = path.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        number = len(rows)
        parts.append(c_bytes(f"plain_{number}", data))
        packed_is_smaller = len(packed) < len(data)
        if packed_is_smaller:
            parts.append(c_bytes(f"packed_{number}", packed))
        rows.append(
            f'    {{"{path.relative_to(folder).as_posix()}", "{TYPES[path.suffix]}", "{hashlib.sha256(data).hexdigest()[:32]}", '
            f"plain_{number}, sizeof plain_{number}, "
            + (f"packed_{number}, sizeof packed_{number}}}," if packed_is_smaller else "NULL, 0},")
        )
    text = '#include "service/api/web_files.h"\n\n#include <stddef.h>\n\n' + "\n".join(parts)
    text += "\nconst kx_web_file kx_web_files[] = {\n" + "\n".join(rows) + "\n};\n"
    text += f"const size_t kx_num_web_files = {len(rows)};\n"
    out.write_text(text)


main()
