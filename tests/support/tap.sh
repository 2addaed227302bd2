#!/bin/sh
# Runs a cmocka program and corrects its TAP: cmocka 1.1.5 writes a skipped test as "not ok 3 # SKIP name", which
# every reader of TAP takes for a failure. KONTEXT_TEST_RUNNER names an emulator for programs of another architecture. It
# is given the program's full name: qemu reads /proc/self/exe from the name that it was given, wherever it is by then.
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
program=$(realpath "$1") || exit 1
shift
${KONTEXT_TEST_RUNNER:-} "$program" "$@" >"$log"
status=$?
sed 's/^not ok \([0-9]*\) # SKIP \(.*\)$/ok \1 - \2 # SKIP/' "$log"
exit $status
