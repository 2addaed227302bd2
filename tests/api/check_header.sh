#!/bin/sh
# The public header compiles alone in every language that may include it.
# usage: check_header.sh INCLUDE-FOLDER C-COMPILER C++-COMPILER (or "none")
set -u
include=$1 c=$2 cpp=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/kontext-api-XXXXXX")
trap 'rm -rf "$work"' EXIT
number=0
status=0

# try NAME SUFFIX COMPILER OPTIONS...
try() {
    name=$1 suffix=$2
    shift 2
    number=$((number + 1))
    if [ "$1" = none ]; then
        echo "ok $number - $name # SKIP there is no C++ compiler"
        return
    fi
    # The call needs C linkage in C++ and the types of C in both.
    printf '%s\n' '#include <kontext/kontext.h>' '#include <kontext/kontext.h>' \
        'kx_status f(kx_model *m, kx_error *e);' \
        'kx_status f(kx_model *m, kx_error *e) { kx_edit_request r = kx_edit_request_default(); kx_result *o = NULL;' \
        'r.num_references = KX_MAX_REFERENCES; return kx_edit_run(m, &r, NULL, &o, e); }' >"$work/use.$suffix"
    if "$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$include" "$work/use.$suffix" >"$work/said" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$work/said"
        status=1
    fi
}

echo 1..5
try "C99" c "$c" -std=c99
try "C11" c "$c" -std=c11
try "C17 with GNU extensions" c "$c" -std=gnu17
try "C++11" cpp "$cpp" -std=c++11
try "C++17" cpp "$cpp" -std=c++17
exit $status
