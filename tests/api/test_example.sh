#!/bin/sh
# The program in the opening comment of kontext.h, compiled against the shared library, edits a picture.
# usage: test_example.sh EXAMPLE KONTEXT DRAW-SAMPLES
set -u
example=$1 kontext=$2 draw_samples=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/kontext-api-XXXXXX")
trap 'rm -rf "$work"' EXIT
number=0
status=0

# expect NAME STATUS PATTERN ARGUMENTS...: how the example must end, and what it must say
expect() {
    name=$1 wanted=$2 pattern=$3
    shift 3
    number=$((number + 1))
    code=0
    "$example" "$@" >"$work/said" 2>&1 || code=$?
    if [ "$code" = "$wanted" ] && grep -q "$pattern" "$work/said"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        echo "# the exit status is $code, $wanted is expected; it must say '$pattern' and said:"
        sed 's/^/# /' "$work/said"
        status=1
    fi
}

echo 1..4
"$kontext" model synth --preset tiny "$work/model" >/dev/null && "$draw_samples" "$work" || exit 1
expect "the example edits a picture" 0 '^128x128 written$' "$work/model" "$work/sample-1.png" "Make the roof red" "$work/out.png"
number=2
if head -c 4 "$work/out.png" | grep -q PNG; then
    echo "ok 2 - the result is a PNG file"
else
    echo "not ok 2 - the result is a PNG file"
    status=1
fi
expect "a missing picture is named" 3 "nowhere.png" "$work/model" "$work/nowhere.png" "x" "$work/out.png"
expect "a missing model is named" 4 "no-model" "$work/no-model" "$work/sample-1.png" "x" "$work/out.png"
exit $status
