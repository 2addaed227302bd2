# What the end-to-end tests share. Each script is run as: sh SCRIPT PROGRAM FOLDER-OF-TOOLS
# It sets up $work (removed at the end), $out (an empty folder for results) and $model (a tiny random model), and
# prints one TAP line for each check.
set -u
unset KONTEXT_MODEL KONTEXT_TOKENIZERS KONTEXT_CPU
work=$(mktemp -d "${TMPDIR:-/tmp}/kontext-e2e-XXXXXX")
out=$work/out
model=$work/model
checks=0
failures=0

clean_up() {
    if [ -n "${mounted:-}" ]; then umount "$mounted"; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# program FILE: the file; or, where KONTEXT_TEST_RUNNER names an emulator, a script that runs the file under it
program() {
    if [ -n "${KONTEXT_TEST_RUNNER:-}" ]; then
        printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$KONTEXT_TEST_RUNNER" "$1" >"$work/run-$(basename "$1")"
        chmod +x "$work/run-$(basename "$1")"
        echo "$work/run-$(basename "$1")"
    else
        echo "$1"
    fi
}
kontext=$(program "$1")
forge=$(program "$2/forge")
json_check=$(program "$2/json_check")

ok() {
    checks=$((checks + 1))
    echo "ok $checks - $*"
}

not_ok() {
    checks=$((checks + 1))
    failures=$((failures + 1))
    echo "not ok $checks - $*"
}

skip() { # NAME WHY
    checks=$((checks + 1))
    echo "ok $checks - $1 # SKIP $2"
}

# check NAME COMMAND...: passes when the command does
check() {
    check_name=$1
    shift
    if "$@" >"$work/check.log" 2>&1; then
        ok "$check_name"
    else
        not_ok "$check_name"
        sed 's/^/# /' "$work/check.log"
    fi
}

finish() {
    echo "1..$checks"
    [ "$failures" = 0 ]
}

fresh_output() {
    rm -rf "$out"
    mkdir "$out"
}

# What is wrong with the last run, one complaint a line; nothing when it ended as it should.
complaints() { # STATUS WANTED-STATUS PATTERN
    [ "$1" = "$2" ] || echo "the exit status is $1, expected is $2"
    [ "$(wc -l <"$work/stderr")" = 1 ] || echo "standard error has $(wc -l <"$work/stderr") lines, expected is one"
    grep -q '^error: .' "$work/stderr" || echo "standard error has no 'error: sentence'"
    grep -qiE -e "$3" "$work/stderr" || echo "the sentence does not match '$3'"
    [ -z "$(ls -A "$out")" ] || echo "left behind: $(ls -A "$out")"
}

# fails STATUS PATTERN NAME ARGUMENTS...: the program must end with STATUS, say exactly one sentence that matches
# PATTERN (extended, any case) and leave nothing in $out.
fails() {
    wanted=$1 pattern=$2 name=$3
    shift 3
    fresh_output
    status=0
    "$kontext" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    complaints "$status" "$wanted" "$pattern" >"$work/complaints"
    if [ -s "$work/complaints" ]; then
        not_ok "$name"
        sed 's/^/# /' "$work/complaints" "$work/stderr"
    else
        ok "$name"
    fi
}

# works NAME ARGUMENTS...: the program must end with 0 and, without -v, say nothing on standard error.
works() {
    name=$1
    shift
    status=0
    "$kontext" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    if [ "$status" != 0 ] || [ -s "$work/stderr" ]; then
        not_ok "$name"
        echo "# the exit status is $status"
        sed 's/^/# /' "$work/stderr"
    else
        ok "$name"
    fi
}

fresh_output
"$kontext" model synth --preset tiny "$model" >/dev/null || {
    echo "Bail out! kontext model synth does not work"
    exit 1
}
